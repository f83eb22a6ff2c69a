// What counts as an access token of this installation, and all that does not.

import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";

import { SignJWT } from "jose";
import { beforeAll, expect, test } from "vitest";

import { AccessTokens } from "./access-tokens.ts";
import type { TokenContent } from "./claims.ts";
import { makeKey, readJwk, readPem, writeJwk, type SigningKey } from "./signing-key.ts";

const content: TokenContent = {
  identity: { kind: "user", name: "ci" },
  granted: { repositories: new Map([["team-a/app", new Set(["pull", "push"] as const)]]), catalog: true },
  credential: "c1",
};

let key: SigningKey;
let known: Map<string, SigningKey>;
let now = new Date("2026-06-01T12:00:00Z");
const keys = { current: () => key, known: (id: string) => known.get(id), find: async (id: string) => known.get(id) };
const tokens = new AccessTokens({ keys, installation: "urn:uuid:1", service: "registry.example.com", now: () => now });
beforeAll(async () => {
  key = await makeKey();
  known = new Map([[key.id, key]]);
});

const seconds = () => Math.floor(now.getTime() / 1000);
const claims = () => ({
  iss: "urn:uuid:1",
  aud: "registry.example.com",
  iat: seconds(),
  nbf: seconds(),
  exp: seconds() + 300,
  sub: "user:ci",
  identity: { kind: "user", name: "ci" },
  access: [],
});
const tokenOf = (issued: Awaited<ReturnType<AccessTokens["issue"]>>) => (typeof issued === "object" ? issued.token : "");
const sign = (payload: object, header: object = {}, signer: KeyObject = key.privateKey) =>
  new SignJWT({ ...payload }).setProtectedHeader({ alg: "EdDSA", typ: "wharfinger+jwt", kid: key.id, ...header }).sign(signer);

test("says back what it was made of, for five minutes", async () => {
  now = new Date("2026-06-01T12:00:00Z");
  const issued = await tokens.issue(content);
  expect(issued).toMatchObject({ expiresIn: 300, issuedAt: now });
  const token = tokenOf(issued);
  for (let reading = 0; reading < 2; reading++) expect(await tokens.read(token)).toEqual({ content });
  now = new Date(now.getTime() + 329_000);
  expect(await tokens.read(token)).toEqual({ content });
  now = new Date(now.getTime() + 2_000);
  const expired = { refused: "it has expired; ask for another one", genuine: true };
  expect(await tokens.read(token)).toEqual(expired);
  // As somebody finds it who has not seen it before.
  expect(await new AccessTokens({ keys, installation: "urn:uuid:1", service: "registry.example.com", now: () => now }).read(token)).toEqual(
    expired,
  );
});

test.each<TokenContent["identity"]>([
  { kind: "anonymous" },
  { kind: "serviceAccount", issuer: "in-cluster", namespace: "team-a", name: "builder", pod: "builder-1" },
  { kind: "oidc", issuer: "github", subject: "repo:octo/app", claims: { ref: "refs/heads/main" }, groups: ["dev"] },
])("an identity %j comes back whole", async (identity) => {
  const whole = { identity, granted: { repositories: new Map(), catalog: false } };
  expect(await tokens.read(tokenOf(await tokens.issue(whole)))).toEqual({ content: whole });
});

test("a key that is taken away takes its tokens along, also those that were seen", async () => {
  const token = tokenOf(await tokens.issue(content));
  expect(await tokens.read(token)).toEqual({ content });
  known.delete(key.id);
  expect(await tokens.read(token)).toMatchObject({
    genuine: false,
    refused: expect.stringContaining("nothing here is signed with") as string,
  });
  known.set(key.id, key);
  expect(await tokens.read(token)).toEqual({ content });
});

test("without a key nothing is issued", async () => {
  const without = new AccessTokens({ keys: { ...keys, current: () => undefined }, installation: "i", service: "s" });
  expect([without.ready, await without.issue(content)]).toEqual([false, undefined]);
});

test("what is given out is never too long to be shown: a hundred long names are not one token", async () => {
  const names = (count: number) =>
    Array.from({ length: count }, (_, index) => [`${"team/".repeat(20)}${index}`, new Set(["pull"] as const)] as const);
  const repositories = (count: number) => ({ ...content, granted: { repositories: new Map(names(count)), catalog: false } });
  expect(await tokens.issue(repositories(100))).toBe("TooLong");
  const issued = await tokens.issue(repositories(50));
  expect(await tokens.read(tokenOf(issued))).toHaveProperty("content");
});

const stranger = generateKeyPairSync("ed25519");
const jwk = stranger.publicKey.export({ format: "jwk" });
test.each<[string, () => Promise<string> | string, string, boolean]>([
  ["another's key", () => sign(claims(), {}, stranger.privateKey), "it does not verify with its key", false],
  ["another's key in jwk", () => sign(claims(), { jwk }, stranger.privateKey), "its header has jwk", false],
  ["our key, and jwk", () => sign(claims(), { jwk }), "its header has jwk", false],
  ["jku", () => sign(claims(), { jku: "https://evil.example.com/keys" }), "its header has jku", false],
  ["x5u", () => sign(claims(), { x5u: "https://evil.example.com/cert" }), "its header has x5u", false],
  [
    "an extension that must be understood",
    () => raw({ alg: "EdDSA", crit: ["urn:x"], "urn:x": 1 }, "A".repeat(86)),
    "its header has crit",
    false,
  ],
  ["x5c", () => sign(claims(), { x5c: ["AAAA"] }), "its header has x5c", false],
  ["another key id", () => sign(claims(), { kid: "other" }), "nothing here is signed with its key other", false],
  ["no key id", () => sign(claims(), { kid: undefined }), "nothing here is signed with its key undefined", false],
  ["a key id of a prototype", () => sign(claims(), { kid: "__proto__" }), "nothing here is signed with its key __proto__", false],
  ["alg none", () => raw({ alg: "none" }, ""), "its algorithm is none, and that of the key EdDSA", false],
  ["HS256 with the public key", () => hmac(), "its algorithm is HS256, and that of the key EdDSA", false],
  ["ES256 said of an Ed25519 key", () => raw({ alg: "ES256" }, "A".repeat(86)), "its algorithm is ES256", false],
  ["no signature", () => raw({ alg: "EdDSA" }, ""), "it does not verify with its key", false],
  ["another installation", () => sign({ ...claims(), iss: "urn:uuid:2" }), "it is of another installation", true],
  ["no issuer", () => sign({ ...claims(), iss: undefined }), "it is of another installation", true],
  ["another registry", () => sign({ ...claims(), aud: "other.example.com" }), "it is for another registry", true],
  [
    "two registries",
    () => sign({ ...claims(), aud: ["registry.example.com", "other.example.com"] }),
    "it is not for this registry alone",
    true,
  ],
  ["no audience", () => sign({ ...claims(), aud: undefined }), "it is for another registry", true],
  ["an end that is past", () => sign({ ...claims(), exp: seconds() - 31 }), "it has expired", true],
  ["no end", () => sign({ ...claims(), exp: undefined }), "it does not say exp", true],
  ["a beginning to come", () => sign({ ...claims(), nbf: seconds() + 60 }), "it is not valid yet", true],
  [
    "an identity of a later version",
    () => sign({ ...claims(), identity: { kind: "robot9" } }),
    "it says nothing that this version understands",
    true,
  ],
  ["an administrator", () => sign({ ...claims(), identity: { kind: "admin" } }), "it says nothing that this version understands", true],
  ["a changed claim", async () => changed(await sign(claims())), "it does not verify with its key", false],
  ["more than fits a header", () => sign({ ...claims(), filler: "x".repeat(16_000) }), "it has more than 15360 bytes", false],
])("%s is refused", async (_, make, reason, genuine) => {
  expect(await tokens.read(await make())).toEqual({ refused: expect.stringContaining(reason) as string, genuine });
});

test.each([
  ["text", () => "hello"],
  ["nothing", () => ""],
  ["a token of another kind", () => sign(claims(), { typ: "JWT" })],
  ["a token that says no kind", () => sign(claims(), { typ: undefined })],
])("%s is for others to judge", async (_, make) => {
  expect(await tokens.read(await make())).toBeUndefined();
});

test("keys come and go as JWK and PEM, Ed25519 and P-256 alone", async () => {
  const stored = await readJwk(writeJwk(key));
  expect([stored.id, stored.algorithm]).toEqual([key.id, "EdDSA"]);
  const curve = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const own = await readPem(curve.export({ format: "pem", type: "pkcs8" }).toString());
  expect(own.algorithm).toBe("ES256");
  const withOwn = new AccessTokens({
    keys: { current: () => own, known: () => own, find: async () => own },
    installation: "urn:uuid:1",
    service: "s",
  });
  expect(await withOwn.read(tokenOf(await withOwn.issue(content)))).toEqual({ content });
  const others = [
    generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
    generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey,
    generateKeyPairSync("x25519").privateKey,
  ];
  for (const other of others) {
    await expect(readPem(other.export({ format: "pem", type: "pkcs8" }).toString())).rejects.toThrow(
      "neither an Ed25519 key nor one on the curve P-256",
    );
  }
  const half = createPublicKey(curve).export({ format: "pem", type: "spki" }).toString();
  for (const text of ["", "canary", half]) {
    const failure = await readPem(text).catch((error: Error) => error.message);
    expect(failure).toBe("it is no private key in PEM without a passphrase; make one with openssl genpkey -algorithm ed25519");
  }
});

function raw(header: object, signature: string, payload: object = claims()): string {
  const parts = [{ typ: "wharfinger+jwt", kid: key.id, ...header }, payload];
  return [...parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")), signature].join(".");
}

/** The oldest trick: a public key taken for a shared secret. */
function hmac(): string {
  const unsigned = raw({ alg: "HS256" }, "").slice(0, -1);
  const secret = key.publicKey.export({ format: "pem", type: "spki" });
  return `${unsigned}.${createHmac("sha256", secret).update(unsigned).digest("base64url")}`;
}

function changed(token: string): string {
  const [header, , signature] = token.split(".");
  const payload = Buffer.from(JSON.stringify({ ...claims(), identity: { kind: "user", name: "root" } })).toString("base64url");
  return [header, payload, signature].join(".");
}
