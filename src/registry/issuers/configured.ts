// The issuers of the setting `auth.issuers`, with what goes without saying for the cluster that this process runs in.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { decodeJwt } from "jose";

import type { Issuer } from "./key-ring.ts";

/** As the settings say it. */
export type IssuerSettings = Pick<Issuer, "name" | "caFile" | "tokenFile"> & Partial<Pick<Issuer, "issuer" | "jwks">>;

const inCluster = "in-cluster";
const mounted = "/var/run/secrets/kubernetes.io/serviceaccount";
const ownKeys = "https://kubernetes.default.svc/openid/v1/jwks";

/** Rejects with an Error that says which setting is wrong. */
export async function configuredIssuers(settings: readonly IssuerSettings[]): Promise<Issuer[]> {
  const twice = settings.find(({ name }, index) => settings.findIndex((other) => other.name === name) < index);
  if (twice !== undefined) throw new Error(`auth.issuers names ${twice.name} twice: each cluster has a name of its own.`);
  return Promise.all(settings.map(complete));
}

async function complete({ name, issuer, jwks, caFile, tokenFile }: IssuerSettings): Promise<Issuer> {
  if (name === inCluster && jwks === undefined) {
    const files = { caFile: caFile ?? join(mounted, "ca.crt"), tokenFile: tokenFile ?? join(mounted, "token") };
    return { name, issuer: issuer ?? (await issuerOf(name, files.tokenFile)), jwks: ownKeys, ...files };
  }
  if (jwks === undefined) throw new Error(`auth.issuers ${name} needs jwks: the URL or file of its keys.`);
  return {
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

function issuerIn(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
