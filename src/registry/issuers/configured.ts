// The issuers of the setting `auth.issuers`, with what goes without saying for the cluster that this process runs in.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { ownCluster } from "../../domain/subjects.ts";
import type { Issuer } from "./key-ring.ts";
import { issuerIn } from "./unverified.ts";

/** As the settings say it. */
export type IssuerSettings = Pick<Issuer, "name" | "jwks" | "caFile" | "tokenFile" | "groupsClaim" | "requiredClaims"> &
  Partial<Pick<Issuer, "kind" | "issuer">>;

const mounted = "/var/run/secrets/kubernetes.io/serviceaccount";
const ownKeys = "https://kubernetes.default.svc/openid/v1/jwks";

/** `agent`: how OpenID providers are connected to. Rejects with an Error that says which setting is wrong. */
export async function configuredIssuers(settings: readonly IssuerSettings[], agent?: Issuer["agent"]): Promise<Issuer[]> {
  const twice = settings.find(({ name }, index) => settings.findIndex((other) => other.name === name) < index);
  if (twice !== undefined) throw new Error(`auth.issuers names ${twice.name} twice: each issuer has a name of its own.`);
  const issuers = await Promise.all(settings.map(async (issuer) => (issuer.kind === "OIDC" ? provider(issuer, agent) : cluster(issuer))));
  for (const one of issuers.filter(({ kind }) => kind === "OIDC")) {
    const other = issuers.find(({ name, issuer }) => name !== one.name && issuer === one.issuer);
    if (other !== undefined) {
      throw new Error(`auth.issuers ${one.name} and ${other.name} have the issuer ${one.issuer}: nobody could tell their tokens apart.`);
    }
  }
  return issuers;
}

function provider({ name, issuer = "", ...rest }: IssuerSettings, agent: Issuer["agent"]): Issuer {
  const url = URL.parse(issuer);
  const plain = url !== null && url.protocol === "https:" && `${url.username}${url.password}${url.search}${url.hash}` === "";
  if (!plain || /[?#\s]/.test(issuer)) {
    throw new Error(
      `auth.issuers ${name}: the issuer of kind OIDC is an https URL without a query, as the \`iss\` of its tokens says it, for example https://token.actions.githubusercontent.com`,
    );
  }
  if (name === ownCluster) throw new Error(`auth.issuers ${name} is the name of the cluster that this registry runs in: choose another.`);
  return { ...rest, kind: "OIDC", name, issuer, ...(agent === undefined ? {} : { agent }) };
}

async function cluster({ name, issuer, jwks, caFile, tokenFile, groupsClaim, requiredClaims }: IssuerSettings): Promise<Issuer> {
  const kind = "Kubernetes";
  if (groupsClaim !== undefined)
    throw new Error(`auth.issuers ${name}: groupsClaim is for issuers of kind OIDC; a cluster's tokens name no groups.`);
  if (requiredClaims !== undefined)
    throw new Error(`auth.issuers ${name}: requiredClaims is for issuers of kind OIDC; of a cluster AccessPolicies name accounts.`);
  if (name === ownCluster && jwks === undefined) {
    const files = { caFile: caFile ?? join(mounted, "ca.crt"), tokenFile: tokenFile ?? join(mounted, "token") };
    return { kind, name, issuer: issuer ?? (await issuerOf(name, files.tokenFile)), jwks: ownKeys, ...files };
  }
  if (jwks === undefined) throw new Error(`auth.issuers ${name} needs jwks: the URL or file of its keys.`);
  return {
    kind,
    name,
    issuer: issuer ?? (await issuerOf(name, tokenFile ?? join(mounted, "token"))),
    jwks,
    ...(caFile === undefined ? {} : { caFile }),
    ...(tokenFile === undefined ? {} : { tokenFile }),
  };
}

/** Clusters differ in what they call themselves; the token of our own Pod says it, and its API server wrote that. */
async function issuerOf(name: string, tokenFile: string): Promise<string> {
  const text = await readFile(tokenFile, "utf8").catch(() => "");
  const iss = issuerIn(text.trim());
  if (iss !== undefined) return iss;
  throw new Error(
    `auth.issuers ${name} says no issuer, and ${tokenFile} does not say it either: mount a ServiceAccount token there, or set issuer to the \`iss\` of the cluster's tokens.`,
  );
}
