import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { IncomingMessage, RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { createCertificates } from "../../../test/support/certificates.ts";
import { clusterIssuer, createTokenIssuer } from "../../../test/support/token-issuer.ts";
import { configuredIssuers } from "./configured.ts";
import { KeySetError, readKeySet } from "./key-set.ts";

let folder: string;
let server: Server;
let url: string;
let answer: RequestListener;
let requests: IncomingMessage[];
const issuer = clusterIssuer;
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "key-set-"));
  const { authority, server: pair } = await createCertificates();
  await writeFile(file("ca.crt"), authority);
  await writeFile(file("token"), "first\n");
  server = createServer({ cert: pair.cert, key: pair.key }, (request, response) => {
    requests.push(request);
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/openid/v1/jwks`;
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

async function keysIn(content: unknown) {
  await writeFile(file("keys.json"), JSON.stringify(content));
  return (await readKeySet({ issuer, jwks: file("keys.json") })).map(({ id, algorithm }) => `${id} ${algorithm}`);
}

const jwkOf = (pair: { publicKey: { export(options: { format: "jwk" }): object } }, more: object) => ({
  ...pair.publicKey.export({ format: "jwk" }),
  ...more,
});
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const elliptic = generateKeyPairSync("ec", { namedCurve: "P-256" });

test("a hundred keys are taken, and no more", async () => {
  const keys = Array.from({ length: 101 }, (_, index) => jwkOf(elliptic, { kid: `k${index}` }));
  expect(await keysIn({ keys: keys.slice(1) })).toHaveLength(100);
  await expect(keysIn({ keys })).rejects.toThrow("holds 101 keys: more than 100 are not taken");
});

describe("a file of keys", () => {
  test("gives what API servers sign with, each for its one algorithm", async () => {
    const keys = [
      jwkOf(rsa, { kid: "a", use: "sig", alg: "RS256" }),
      jwkOf(rsa, { kid: "b" }),
      jwkOf(elliptic, { kid: "c" }),
      jwkOf(generateKeyPairSync("ec", { namedCurve: "P-521" }), { kid: "d" }),
    ];
    expect(await keysIn({ keys })).toEqual(["a RS256", "b RS256", "c ES256", "d ES512"]);
  });

  test("leaves out what cannot be, or must not be, a key of tokens", async () => {
    const keys = [
      jwkOf(rsa, {}),
      jwkOf(rsa, { kid: "for encryption", use: "enc" }),
      jwkOf(rsa, { kid: "another algorithm", alg: "PS256" }),
      jwkOf(elliptic, { kid: "not of its curve", alg: "ES384" }),
      { kty: "oct", kid: "a secret", k: "c2VjcmV0", alg: "HS256" },
      jwkOf(generateKeyPairSync("ed25519"), { kid: "a form that no API server has" }),
      { kty: "RSA", kid: "half a key", n: "AQAB" },
      null,
      "text",
      jwkOf(elliptic, { kid: "good" }),
    ];
    expect(await keysIn({ keys })).toEqual(["good ES256"]);
  });

  test("with private keys gives public ones", async () => {
    const [read] = await readKeySet({ issuer, jwks: await written({ keys: [{ ...rsa.privateKey.export({ format: "jwk" }), kid: "a" }] }) });
    expect(read?.key).toMatchObject({ type: "public" });
  });

  test.each([["no JSON"], [{ keys: "none" }], [[]], [null]])("that holds %j is refused, for good", async (content) => {
    const jwks = await written(content);
    await expect(readKeySet({ issuer, jwks })).rejects.toEqual(
      new KeySetError(`${jwks} holds no set of keys (JSON with a list "keys")`, { temporary: false }),
    );
  });

  test("that is not there is refused, for good", async () => {
    await expect(readKeySet({ issuer, jwks: file("none.json") })).rejects.toMatchObject({
      temporary: false,
      message: expect.stringContaining("ENOENT"),
    });
  });
});

async function written(content: unknown): Promise<string> {
  await writeFile(file("written.json"), typeof content === "string" ? content : JSON.stringify(content));
  return file("written.json");
}

describe("keys of an API server", () => {
  const place = () => ({ issuer, jwks: url, caFile: file("ca.crt"), tokenFile: file("token") });

  test("are asked for with the Pod's token as it is now, of the server that the authority knows", async () => {
    const issuer = await createTokenIssuer();
    requests = [];
    answer = (_, response) => response.setHeader("content-type", "application/jwk-set+json").end(issuer.jwks);
    expect(await readKeySet(place())).toMatchObject([{ id: issuer.keyId, algorithm: "RS256" }]);
    await writeFile(file("token"), "second\n");
    await readKeySet(place());
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer first", "Bearer second"]);
  });

  test("are not believed of a server that it does not know, which gets no token either", async () => {
    requests = [];
    await expect(readKeySet({ ...place(), caFile: undefined })).rejects.toMatchObject({ temporary: true });
    expect(requests).toEqual([]);
  });

  test.each<readonly [string, RequestListener]>([
    ["a refusal", (_, response) => response.writeHead(403).end("{}")],
    ["a redirect", (_, response) => response.writeHead(302, { location: url }).end()],
    ["something else", (_, response) => response.end("<html>")],
    ["too much", (_, response) => response.end(Buffer.alloc(1024 * 1024 + 1, " "))],
    ["half an answer", (_, response) => response.writeHead(200, { "content-length": 100 }).write("{", () => response.destroy())],
  ])("%s is none, for now", async (_, listener) => {
    requests = [];
    answer = listener;
    await expect(readKeySet(place())).rejects.toMatchObject({ name: "KeySetError", temporary: true });
    expect(requests).toHaveLength(1);
  });
});

describe("the setting auth.issuers", () => {
  test("knows where the keys of its own cluster are, and what that calls itself", async () => {
    const issuer = await createTokenIssuer();
    const tokenFile = await written(
      await issuer.token({ namespace: "wharfinger", name: "registry", issuer: "https://oidc.example.com/id/1" }),
    );
    expect(await configuredIssuers([{ name: "in-cluster", tokenFile }])).toEqual([
      {
        kind: "Kubernetes",
        name: "in-cluster",
        issuer: "https://oidc.example.com/id/1",
        jwks: "https://kubernetes.default.svc/openid/v1/jwks",
        caFile: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        tokenFile,
      },
    ]);
    await expect(configuredIssuers([{ name: "in-cluster", tokenFile: file("none") }])).rejects.toThrow("set issuer to the `iss`");
  });

  test("takes other clusters as they are written, each once", async () => {
    const edge = { name: "edge", issuer: "https://kubernetes.default.svc", jwks: "/etc/edge.json" };
    expect(await configuredIssuers([edge])).toEqual([{ kind: "Kubernetes", ...edge }]);
    await expect(configuredIssuers([edge, edge])).rejects.toThrow("auth.issuers names edge twice");
    await expect(configuredIssuers([{ ...edge, groupsClaim: "groups" }])).rejects.toThrow("groupsClaim is for issuers of kind OIDC");
  });

  const github = { kind: "OIDC" as const, name: "github", issuer: "https://token.actions.githubusercontent.com" };

  test("takes OpenID providers by their URL, which is theirs alone", async () => {
    expect(await configuredIssuers([{ ...github, groupsClaim: "groups" }])).toEqual([{ ...github, groupsClaim: "groups" }]);
    const again = configuredIssuers([github, { ...github, name: "ghes" }]);
    await expect(again).rejects.toThrow("github and ghes have the issuer https://token.actions.githubusercontent.com");
    const cluster = configuredIssuers([{ name: "edge", issuer: github.issuer, jwks: "/etc/edge.json" }, github]);
    await expect(cluster).rejects.toThrow("github and edge have the issuer");
    await expect(configuredIssuers([{ ...github, name: "in-cluster" }])).rejects.toThrow("choose another");
  });

  test.each([
    "http://a.example",
    "https://a.example/?x",
    "https://a.example/#x",
    "https://u:p@a.example",
    "a.example",
    " https://a.example",
    "",
  ])(
    "takes no OpenID provider at %j",
    async (issuer) => await expect(configuredIssuers([{ ...github, issuer }])).rejects.toThrow("is an https URL without a query"),
  );
});
