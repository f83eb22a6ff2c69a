import { inspect } from "node:util";

import { expect, test } from "vitest";

import { targetUrl } from "../../domain/registry-address.ts";
import { readCredentials } from "./credentials.ts";
import { Hidden } from "./hidden.ts";
import type { Credentials } from "./target.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const url = targetUrl("https://cgr.dev");

function dockerConfig(auths: unknown): Map<string, Uint8Array> {
  return new Map([[".dockerconfigjson", bytes(JSON.stringify({ auths }))]]);
}

const revealed = (credentials: Credentials) => (credentials.state === "loaded" ? credentials.login.reveal() : credentials);
const auth = (pair: string) => Buffer.from(pair).toString("base64");

test.each([
  [
    "basic-auth",
    new Map([
      ["username", bytes("ci")],
      ["password", bytes("s3cret\n")],
    ]),
    { username: "ci", password: "s3cret" },
  ],
  ["auth of a docker configuration", dockerConfig({ "cgr.dev": { auth: auth("ci:a:b") } }), { username: "ci", password: "a:b" }],
  ["with scheme and path", dockerConfig({ "https://cgr.dev/v2/": { username: "ci", password: "p" } }), { username: "ci", password: "p" }],
  [
    "an identity token",
    dockerConfig({ "cgr.dev": { auth: auth("ci:"), identitytoken: "refresh" } }),
    { username: "ci", password: "", identityToken: "refresh" },
  ],
  [
    "Azure's form of it",
    dockerConfig({ "cgr.dev": { username: "<token>", password: "refresh" } }),
    { username: "<token>", password: "", identityToken: "refresh" },
  ],
])("reads %s", (_, data, login) => {
  expect(revealed(readCredentials(data, "default/pull", url))).toEqual(login);
});

test("Docker Hub's login has many names", () => {
  for (const name of ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"]) {
    const found = readCredentials(dockerConfig({ [name]: { auth: auth("u:p") } }), "default/hub", targetUrl("https://docker.io"));
    expect(revealed(found)).toEqual({ username: "u", password: "p" });
  }
});

test.each([
  ["no Secret", undefined, "Secret default/pull does not exist"],
  ["no key", new Map<string, Uint8Array>(), "Secret default/pull needs the keys username and password, or .dockerconfigjson (it is empty)"],
  ["no JSON", new Map([[".dockerconfigjson", bytes("{s3cret")]]), "Secret default/pull: .dockerconfigjson is not JSON"],
  [
    "another host",
    dockerConfig({ "evil-cgr.dev": { auth: auth("u:s3cret") } }),
    "Secret default/pull: .dockerconfigjson has no login for cgr.dev",
  ],
  [
    "an empty login",
    dockerConfig({ "cgr.dev": { auth: "" } }),
    "Secret default/pull: the login for cgr.dev needs auth, or username and password",
  ],
])("%s is said, without the content", (_, data, message) => {
  expect(readCredentials(data, "default/pull", url)).toEqual({ state: "invalid", message });
});

test("a hidden value prints as [redacted], however one tries", () => {
  const hidden = new Hidden({ password: "s3cret" });
  const printed = [
    String(hidden),
    ["it is", hidden].join(" "),
    JSON.stringify({ hidden }),
    inspect(hidden),
    inspect({ nested: [hidden] }, { showHidden: true, depth: 9 }),
    Object.keys(hidden).join(),
    JSON.stringify(Object.assign(new Error("x"), { hidden })),
  ];
  expect(printed.filter((text) => text.includes("s3cret"))).toEqual([]);
  expect(printed[0]).toBe("[redacted]");
  expect(hidden.reveal()).toEqual({ password: "s3cret" });
});
