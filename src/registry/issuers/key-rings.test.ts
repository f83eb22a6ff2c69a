// Discovery at a real HTTPS server, and whose key a token has when clusters and OpenID providers are asked together.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { audience, clusterIssuer, createTokenIssuer, type TokenIssuer } from "../../../test/support/token-issuer.ts";
import { discoveryPath, githubClaims, keysPath, startTokenProvider, type TestProvider } from "../../../test/support/token-provider.ts";
import { IssuerTokens } from "./issuer-tokens.ts";
import type { Issuer } from "./key-ring.ts";
import { KeyRings } from "./key-rings.ts";
import { readKeySet } from "./key-set.ts";

let folder: string;
let cluster: TokenIssuer;
let provider: TestProvider;
let opened: KeyRings[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "key-rings-"));
  cluster = await createTokenIssuer();
  await writeFile(join(folder, "keys.json"), cluster.jwks);
  // A provider may call its keys what it likes.
  provider = await startTokenProvider({ keyId: cluster.keyId });
});
afterAll(async () => {
  await provider.stop();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => {
  for (const rings of opened) rings.close();
  opened = [];
  provider.answers.clear();
});

const place = () => ({ issuer: provider.issuer, caFile: provider.caFile });
const home = (): Issuer => ({ kind: "Kubernetes", name: "in-cluster", issuer: clusterIssuer, jwks: join(folder, "keys.json") });
const github = (): Issuer => ({ kind: "OIDC", name: "github", ...place() });

async function tokensOf(...issuers: Issuer[]): Promise<IssuerTokens> {
  const keys = await KeyRings.open({ issuers, logger: pino({ level: "silent" }) });
  opened.push(keys);
  return new IssuerTokens({ keys, audience });
}

test("a provider says where its keys are", async () => {
  provider.requests.length = 0;
  expect(await readKeySet(place())).toMatchObject([{ id: cluster.keyId, algorithm: "RS256" }]);
  expect(provider.requests).toEqual([discoveryPath, keysPath]);
});

const says =
  (part: () => object): RequestListener =>
  (_, response) =>
    void response.end(JSON.stringify({ issuer: provider.issuer, jwks_uri: `${provider.issuer}${keysPath}`, ...part() }));

test.each<readonly [string, RequestListener, string]>([
  ["of another issuer", says(() => ({ issuer: `${provider.issuer}/` })), "to the letter"],
  ["of none", says(() => ({ issuer: undefined })), "to the letter"],
  ["with keys at another host", says(() => ({ jwks_uri: "https://keys.example.com/jwks" })), "set jwks to that if it is right"],
  ["with keys at another port", says(() => ({ jwks_uri: "https://127.0.0.1:1/jwks" })), "set jwks to that if it is right"],
  ["with keys over http", says(() => ({ jwks_uri: "http://127.0.0.1/jwks" })), "names no https URL of its keys"],
  ["with keys in a file", says(() => ({ jwks_uri: "file:///etc/passwd" })), "names no https URL of its keys"],
  ["with keys behind a login", says(() => ({ jwks_uri: provider.issuer.replace("//", "//a:b@") })), "names no https URL of its keys"],
  ["without keys", says(() => ({ jwks_uri: undefined })), "names no https URL of its keys"],
  ["that is no object", (_, response) => void response.end("null"), "to the letter"],
  ["that is no JSON", (_, response) => void response.end("<html>"), "to the letter"],
  ["elsewhere", (_, response) => void response.writeHead(302, { location: keysPath }).end(), "it answered 302"],
])("a configuration %s gives no keys, for now", async (_, listener, message) => {
  provider.requests.length = 0;
  provider.answers.set(discoveryPath, listener);
  await expect(readKeySet(place())).rejects.toMatchObject({ temporary: true, message: expect.stringContaining(message) as string });
  expect(provider.requests).toEqual([discoveryPath]);
});

test("a provider that has a cluster's key id speaks for nobody of it, and the cluster for nobody of the provider", async () => {
  const tokens = await tokensOf(home(), github());
  const account = { namespace: "team-a", name: "builder" };
  expect(await tokens.judge(await provider.token(githubClaims))).toMatchObject({ identity: { kind: "oidc", issuer: "github" } });
  expect(await tokens.judge(await cluster.token(account))).toMatchObject({ identity: { kind: "serviceAccount", issuer: "in-cluster" } });
  const forged = { refused: expect.stringContaining("does not verify with its key") as string, genuine: false };
  const kubernetes = { namespace: "team-a", serviceaccount: { name: "builder" } };
  const posing = { iss: clusterIssuer, sub: "system:serviceaccount:team-a:builder", "kubernetes.io": kubernetes };
  expect(await tokens.judge(await provider.token(posing))).toEqual(forged);
  expect(await tokens.judge(await cluster.token({ ...account, issuer: provider.issuer }))).toEqual(forged);
});

test.each<readonly [string, Readonly<Record<string, unknown>>, string]>([
  ["for another audience", { aud: "sigstore" }, "it is for the audience sigstore"],
  ["for a second audience", { aud: [audience, "sigstore"] }, "sigstore; ask for one that is for"],
  ["that lives for two days", { exp: Math.floor(Date.now() / 1000) + 2 * 24 * 3_600 }, "longer than 24 hours"],
  ["that has expired", { iat: 1, exp: 600 }, "it has expired"],
  ["without a subject", { sub: undefined }, "it does not say sub"],
  ["with a subject that is none", { sub: "" }, "its sub is no name"],
])("a provider's token %s does not count", async (_, claims, reason) => {
  const tokens = await tokensOf(github());
  const token = await provider.token({ ...githubClaims, ...claims });
  expect(await tokens.judge(token)).toEqual({ refused: expect.stringContaining(reason) as string, genuine: true });
});

test("a provider that is away keeps nobody from starting, and what it signs counts when it is back", async () => {
  provider.answers.set(discoveryPath, (_, response) => void response.writeHead(503).end());
  const tokens = await tokensOf(home(), github());
  expect(await tokens.judge(await cluster.token({ namespace: "a", name: "b" }))).toHaveProperty("identity");
  expect(await tokens.judge(await provider.token(githubClaims))).toMatchObject({ genuine: false });
  provider.answers.clear();
  expect(await (await tokensOf(home(), github())).judge(await provider.token(githubClaims))).toHaveProperty("identity");
});

test("made-up key ids of one issuer have none of the others asked", async () => {
  const tokens = await tokensOf(home(), github());
  provider.requests.length = 0;
  for (let count = 0; count < 20; count++) {
    await tokens.judge(await cluster.token({ namespace: "a", name: "b", header: { kid: `made-up-${count}` } }));
    await tokens.judge(await provider.token(githubClaims, { header: { kid: `made-up-${count}` } }));
  }
  expect(provider.requests).toEqual([]);
});
