// Two clusters and two OpenID providers that a registry believes, with tokens of anybody there: what tests of rights have in common.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Settings } from "../../src/config/settings.ts";
import { clusterIssuer, createTokenIssuer, type TokenIssuer, type TokenParts } from "./token-issuer.ts";
import { startTokenProvider, type TestProvider } from "./token-provider.ts";

export interface TestIssuers {
  /** The registry's own cluster, and another that calls itself the same. */
  readonly home: TokenIssuer;
  readonly edge: TokenIssuer;
  readonly github: TestProvider;
  readonly gitlab: TestProvider;
  /** The setting `auth.issuers`. */
  readonly settings: Settings["auth"]["issuers"];
  stop(): Promise<void>;
}

/** `edgeAlgorithm`: what the other cluster signs with. */
export async function startIssuers({ edgeAlgorithm = "RS256" } = {}): Promise<TestIssuers> {
  const folder = await mkdtemp(join(tmpdir(), "issuers-"));
  const [home, edge, github, gitlab] = await Promise.all([
    createTokenIssuer(),
    createTokenIssuer({ algorithm: edgeAlgorithm }),
    startTokenProvider(),
    startTokenProvider(),
  ]);
  await Promise.all([writeFile(join(folder, "home.json"), home.jwks), writeFile(join(folder, "edge.json"), edge.jwks)]);
  return {
    home,
    edge,
    github,
    gitlab,
    settings: [
      { name: "in-cluster", issuer: clusterIssuer, jwks: join(folder, "home.json") },
      { name: "edge", issuer: clusterIssuer, jwks: join(folder, "edge.json") },
      { name: "github", kind: "OIDC", issuer: github.issuer, caFile: github.caFile },
      { name: "gitlab", kind: "OIDC", issuer: gitlab.issuer, caFile: gitlab.caFile, groupsClaim: "groups_direct" },
    ],
    stop: async () => {
      await Promise.all([github.stop(), gitlab.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Values of Authorization. */
export const basic = (name: string, password = `${name}-password`) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
export const bearer = async (issuer: Pick<TokenIssuer, "token">, parts: TokenParts) => `Bearer ${await issuer.token(parts)}`;
export const job = async (provider: Pick<TestProvider, "token">, claims: Readonly<Record<string, unknown>>) =>
  `Bearer ${await provider.token(claims)}`;
