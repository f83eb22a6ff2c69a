import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import { audienceRights, providerConfig } from "./credential-provider.ts";

const file = resolve(import.meta.dirname, "../../deploy/node/wharfinger-credential-provider");
const host = "registry.example.com:5000";
const token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln-_bmF0dXJl";
const apiVersion = "credentialprovider.kubelet.k8s.io/v1";

/** As the kubelet writes it: in this order, on one line. */
const request = (more: object = {}) =>
  `${JSON.stringify({ kind: "CredentialProviderRequest", apiVersion, image: `${host}/team-a/app:1`, serviceAccountToken: token, ...more })}\n`;

/** No program but the shell can be found. */
function run(shell: readonly string[], input: string, args: readonly string[] = [host]) {
  const [program = "", ...options] = shell;
  const { status, stdout, stderr } = spawnSync(program, [...options, file, ...args], {
    input,
    encoding: "utf8",
    env: { PATH: "/nowhere" },
  });
  return { status, stdout, stderr };
}

const answer = (password: string) => ({
  kind: "CredentialProviderResponse",
  apiVersion,
  cacheKeyType: "Registry",
  cacheDuration: "0s",
  auth: { [host]: { username: "serviceaccount", password } },
});

test("the token is the password, for the host that it was started with", () => {
  const { status, stdout, stderr } = run(["/bin/sh"], request());
  expect([status, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toEqual(answer(token));
  expect(stdout.endsWith("\n")).toBe(true);
});

test("it is run as it is, and bash takes it for a POSIX shell's", () => {
  expect(spawnSync(file, [host], { input: request(), encoding: "utf8" }).status).toBe(0);
  expect(JSON.parse(run(["/bin/bash", "--posix"], request()).stdout)).toEqual(answer(token));
});

test("a long token, and a request without a line's end", () => {
  const long = `${"a".repeat(60_000)}.b.c`;
  expect(JSON.parse(run(["/bin/sh"], request({ serviceAccountToken: long }).trimEnd()).stdout)).toEqual(answer(long));
});

test("nothing else in a request passes for the token", () => {
  const imitations = [
    { image: `${host}/"serviceAccountToken":"evil.a.b"` },
    { image: String.raw`${host}/x\","serviceAccountToken":"evil.a.b` },
    { serviceAccountAnnotations: { note: '","serviceAccountToken":"evil.a.b"' } },
    { serviceAccountAnnotations: { serviceAccountToken: "evil.a.b" } },
  ];
  for (const more of imitations) expect(JSON.parse(run(["/bin/sh"], request(more)).stdout)).toEqual(answer(token));
});

test.each([
  ["no token", request({ serviceAccountToken: undefined }), "needs tokenAttributes"],
  ["an empty token", request({ serviceAccountToken: "" }), "needs tokenAttributes"],
  ["a token with a quote", request({ serviceAccountToken: 'a"},"x":{"b' }), "is none"],
  ["a token with a command", request({ serviceAccountToken: "$(id)" }), "is none"],
  ["a token with a line's end", request({ serviceAccountToken: "a\nb" }), "is none"],
  [
    "another form of requests",
    request({ apiVersion: "credentialprovider.kubelet.k8s.io/v2" }),
    "not of credentialprovider.kubelet.k8s.io/v1",
  ],
  ["nothing", "", "not of credentialprovider.kubelet.k8s.io/v1"],
  ["no JSON", "token", "not of credentialprovider.kubelet.k8s.io/v1"],
])("%s: no answer, and words for the Pod's event", (_, input, words) => {
  const { status, stdout, stderr } = run(["/bin/sh"], input);
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(words);
  expect(stderr).not.toContain(token);
});

test.each([[[]], [[host, "more"]], [[""]], [['x":{"']], [["a b"]]])("started with %j: nothing", (args) => {
  const { status, stdout } = run(["/bin/sh"], request(), args);
  expect([status, stdout]).toEqual([1, ""]);
});

test("configuration and rights are for one audience", () => {
  expect(providerConfig(host)).toMatchObject({
    providers: [{ matchImages: [host], args: [host], tokenAttributes: { serviceAccountTokenAudience: host, requireServiceAccount: true } }],
  });
  expect(audienceRights(host)[0]).toMatchObject({
    rules: [{ apiGroups: [""], resources: [host], verbs: ["request-serviceaccounts-token-audience"] }],
  });
});
