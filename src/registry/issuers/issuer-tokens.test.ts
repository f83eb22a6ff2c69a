import { importSPKI } from "jose";
import { beforeAll, describe, expect, test } from "vitest";

import {
  audience,
  claimsOf,
  clusterIssuer,
  createTokenIssuer,
  type TokenIssuer,
  type TokenParts,
} from "../../../test/support/token-issuer.ts";
import { IssuerTokens } from "./issuer-tokens.ts";

const builder = { namespace: "team-a", name: "builder" };
const minute = 60_000;
let issuer: TokenIssuer;
let tokens: IssuerTokens;
let later = 0;

async function tokensOf(issuer: TokenIssuer, algorithm: string): Promise<IssuerTokens> {
  const key = { id: issuer.keyId, algorithm, key: await importSPKI(issuer.publicPem, algorithm) };
  const found = { issuer: { kind: "Kubernetes" as const, name: "in-cluster", issuer: clusterIssuer, jwks: "" }, key };
  return new IssuerTokens({
    keys: { find: async (id) => (id === issuer.keyId ? found : undefined) },
    audience,
    now: () => new Date(Date.now() + later),
  });
}

beforeAll(async () => {
  issuer = await createTokenIssuer();
  tokens = await tokensOf(issuer, "RS256");
});

const judge = async (parts: Partial<TokenParts> = {}, after = 0) => {
  later = after;
  return tokens.judge(await issuer.token({ ...builder, ...parts }));
};
const refused = (reason: string, genuine = true) => ({ refused: expect.stringContaining(reason) as string, genuine });

test("a token is its cluster's word for a ServiceAccount, and for the Pod that it is bound to", async () => {
  expect(await judge()).toEqual({ identity: { kind: "serviceAccount", issuer: "in-cluster", ...builder } });
  expect(await judge({ pod: "build-1" })).toEqual({
    identity: { kind: "serviceAccount", issuer: "in-cluster", ...builder, pod: "build-1" },
  });
});

test.each(["ES256", "ES384", "ES512"])("keys of %s count too", async (algorithm) => {
  const other = await createTokenIssuer({ algorithm });
  expect(await (await tokensOf(other, algorithm)).judge(await other.token(builder))).toHaveProperty("identity");
});

describe("the clocks", () => {
  test.each<readonly [string, number, boolean]>([
    ["a moment before the end", 10 * minute - 1_000, true],
    ["after it, by less than clocks may differ", 10 * minute + 20_000, true],
    ["after it", 10 * minute + 40_000, false],
    ["before the beginning, by less than clocks may differ", -20_000, true],
    ["before the beginning", -40_000, false],
  ])("%s", async (_, after, counts) => expect("identity" in (await judge({}, after))).toBe(counts));

  test("a day is the longest life", async () => {
    expect(await judge({ expires: 24 * 3_600 })).toHaveProperty("identity");
    expect(await judge({ expires: 24 * 3_600 + 1 })).toEqual(refused("longer than 24 hours"));
    // Nearly over, and made for a year.
    expect(await judge({ issued: -365 * 24 * 3_600, expires: 60 })).toEqual(refused("longer than 24 hours"));
  });
});

describe("does not count", () => {
  test.each<readonly [string, Partial<TokenParts>, string]>([
    ["another issuer", { issuer: "https://example.com" }, `another one than ${clusterIssuer}`],
    ["no issuer", { claims: { iss: undefined } }, "issuer"],
    ["another audience", { audience: "other" }, "it is for the audience other"],
    ["the beginning of our audience", { audience: audience.slice(0, -1) }, "it is for the audience"],
    ["two audiences", { audience: [audience, "other"] }, `${audience}, other`],
    ["no audience", { claims: { aud: undefined } }, "it does not say aud"],
    ["an audience that is none", { claims: { aud: { host: audience } } }, "audience"],
    ["no end", { claims: { exp: undefined } }, "it does not say exp"],
    ["an end that is no number", { claims: { exp: "9999999999" } }, "exp is not right"],
    ["no beginning", { claims: { iat: undefined } }, "it does not say iat"],
    ["issued tomorrow", { issued: 24 * 3_600, notBefore: 0, expires: 25 * 3_600 }, "not valid yet"],
    ["no subject", { claims: { sub: undefined } }, "it does not say sub"],
    ["another subject", { claims: { sub: "system:serviceaccount:team-b:builder" } }, "names no ServiceAccount"],
    ["a user's subject", { claims: { sub: "system:admin", "kubernetes.io": {} } }, "names no ServiceAccount"],
    ["claims that are none", { claims: { "kubernetes.io": "team-a" } }, "names no ServiceAccount"],
    [
      "a namespace that is no text",
      { claims: { "kubernetes.io": { namespace: ["team-a"], serviceaccount: { name: "builder" } } } },
      "names no",
    ],
    [
      "inherited claims",
      { claims: { "kubernetes.io": { namespace: "team-a", __proto__: { serviceaccount: { name: "builder" } } } } },
      "names no",
    ],
    ["a name that is no name", { name: "builder\nadmin" }, "names no ServiceAccount"],
    ["a name for all of them", { name: "*" }, "names no ServiceAccount"],
    ["a namespace with another's in it", { namespace: "team-a/builder" }, "names no ServiceAccount"],
    ["a namespace of a kilobyte", { namespace: "a".repeat(1024) }, "names no ServiceAccount"],
    ["a Pod that is no name", { pod: "../images-1" }, "names no ServiceAccount"],
  ])("%s", async (_, parts, reason) => expect(await judge(parts)).toEqual(refused(reason)));

  test("a header with an extension that must be understood", async () => {
    const reason = "it does not verify with its key (ERR_JOSE_NOT_SUPPORTED)";
    const token = await issuer.raw({ alg: "RS256", kid: issuer.keyId, crit: ["urn:x"], "urn:x": 1 }, claimsOf(builder));
    expect(await tokens.judge(token)).toEqual(refused(reason, false));
  });

  test.each([
    ["nothing", ""],
    ["no token", "x.y.z"],
    ["a header that is no object", `${Buffer.from("1").toString("base64url")}..`],
    ["a token of five parts", "a.b.c.d.e"],
    ["a megabyte", "a".repeat(1024 * 1024)],
  ])("%s", async (_, token) => expect(await tokens.judge(token)).toEqual(refused("no JSON Web Token", false)));

  test("a key id that is no text, and one that nobody has", async () => {
    expect(await judge({ header: { kid: 7 } })).toEqual(refused("no JSON Web Token", false));
    expect(await judge({ header: { kid: "other" } })).toEqual(refused("no issuer of auth.issuers has its key other", false));
  });

  test("another algorithm than the key's, though it would fit", async () => {
    const header = { alg: "RS512", kid: issuer.keyId };
    expect(await tokens.judge(await issuer.raw(header, claimsOf(builder)))).toEqual(refused("its algorithm is RS512", false));
  });

  test("what somebody else signed, or nobody", async () => {
    const [header, payload] = (await issuer.token(builder)).split(".");
    const other = await createTokenIssuer({ keyId: issuer.keyId });
    const failed = refused("ERR_JWS_SIGNATURE_VERIFICATION_FAILED", false);
    expect(await tokens.judge(await other.token(builder))).toEqual(failed);
    expect(await tokens.judge(`${header}.${payload}.`)).toEqual(failed);
    expect(await tokens.judge(await issuer.raw({ alg: "RS256", kid: issuer.keyId }, claimsOf(builder)))).toHaveProperty("identity");
  });

  test("an extension that must be understood and is not", async () => {
    const header = { alg: "RS256", kid: issuer.keyId, crit: ["example"], example: true };
    expect(await tokens.judge(await issuer.raw(header, claimsOf(builder)))).toEqual(
      refused("does not verify with its key (ERR_JOSE_NOT_SUPPORTED)", false),
    );
  });
});
