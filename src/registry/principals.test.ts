import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

import { audience, clusterIssuer, createTokenIssuer } from "../../test/support/token-issuer.ts";
import { githubClaims, startTokenProvider } from "../../test/support/token-provider.ts";
import { defaultSettings, type Settings } from "../config/settings.ts";
import { openWhole } from "./closing.ts";
import { openTokens, principalsOf } from "./principals.ts";

const account = (name: string, issuer = "in-cluster") => ({ issuer, namespace: "wharfinger", name });
const issuer = (name: string, jwks = "/keys.json") => ({ name, issuer: clusterIssuer, jwks });

function settings(part: { access?: Partial<Settings["access"]> } & Partial<Omit<Settings, "access">>): Settings {
  return { ...defaultSettings, auth: { issuers: [issuer("in-cluster")] }, ...part, access: { ...defaultSettings.access, ...part.access } };
}

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "principals-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test("the settings name them", () => {
  expect(principalsOf(defaultSettings)).toEqual({ admins: [], reporters: [] });
  const access = { admins: [{ kind: "User" as const, name: "root" }], operator: account("operator"), jobs: account("jobs") };
  expect(principalsOf(settings({ access, clusters: [{ name: "prod", reporter: account("reporter") }, { name: "test" }] }))).toEqual({
    ...access,
    reporters: [{ cluster: "prod", account: account("reporter") }],
  });
});

test.each<readonly [string, Parameters<typeof settings>[0], string]>([
  ["an account with two parts", { access: { operator: account("all"), jobs: account("all") } }, "wharfinger/all of in-cluster two parts"],
  [
    "an administrator of a cluster without keys",
    { access: { admins: [{ kind: "ServiceAccount", ...account("admin", "edge") }] } },
    "of edge, which",
  ],
  [
    "an account of an issuer that is no cluster",
    {
      auth: { issuers: [{ name: "github", kind: "OIDC", issuer: "https://github.example.com" }] },
      access: { operator: account("operator", "github") },
    },
    "of github, which is no cluster",
  ],
  [
    "administrators by a namespace",
    { access: { admins: [{ kind: "ServiceAccount", namespace: "ops", name: "*" }] } },
    "all ServiceAccounts of ops",
  ],
  [
    "an administrator by a group of a cluster",
    { access: { admins: [{ kind: "Group", issuer: "in-cluster", name: "system:serviceaccounts" }] } },
    "kind Group of in-cluster, which is no OpenID provider",
  ],
  [
    "an administrator by claims of a provider that is not there",
    { access: { admins: [{ kind: "OIDC", issuer: "sso", claims: [{ name: "sub", value: "7" }] }] } },
    "kind OIDC of sso, which is no OpenID provider",
  ],
  ["an account of a cluster without keys", { access: { operator: account("operator", "edge") } }, "of edge, which is no cluster"],
  ["a cluster that is there twice", { clusters: [{ name: "prod" }, { name: "prod" }] }, "names prod twice"],
])("%s is refused", (_, part, message) => expect(() => principalsOf(settings(part))).toThrow(message));

test("tokens need to know whom they are for, and keys that tell the clusters apart", async () => {
  const open = (part: Parameters<typeof settings>[0]) =>
    openWhole(async (closing) => {
      const tokens = await openTokens(settings(part), { logger: pino({ level: "silent" }), closing, trustHosts: false });
      return { tokens, stop: () => closing.run() };
    });
  const cluster = await createTokenIssuer();
  const file = join(folder, "keys.json");
  await writeFile(file, cluster.jwks);
  const auth = { issuers: [issuer("in-cluster", file)] };
  const externalURL = `https://${audience}/`;
  const none = await open({ auth: { issuers: [] } });
  expect(none.tokens).toBeUndefined();
  await expect(open({ auth })).rejects.toThrow("needs the setting externalURL");
  await expect(open({ externalURL, auth: { issuers: [...auth.issuers, issuer("edge", file)] } })).rejects.toThrow(
    `The key id ${cluster.keyId} is in the keys of in-cluster and of edge`,
  );
  const opened = await open({ externalURL, auth });
  expect(await opened.tokens?.judge(await cluster.token({ namespace: "a", name: "b" }))).toHaveProperty("identity");
  await opened.stop();
});

test("an OpenID provider is asked where Upstreams may be, and private addresses only where the settings allow them or their owner owns the process", async () => {
  const provider = await startTokenProvider();
  const { issuer, caFile } = provider;
  const judgedBy = (allowedCIDRs: readonly string[], trustHosts: boolean) =>
    openWhole(async (closing) => {
      const lines: string[] = [];
      const logger = pino({ level: "warn" }, { write: (line: string) => lines.push(line) });
      const auth = { issuers: [{ name: "github", kind: "OIDC" as const, issuer, caFile }] };
      const part = { auth, egress: { allowedCIDRs }, externalURL: `https://${audience}` };
      const tokens = await openTokens(settings(part), { logger, closing, trustHosts });
      const judged = await tokens?.judge(await provider.token(githubClaims));
      return { judged, lines, stop: () => closing.run() };
    });
  const strict = await judgedBy([], false);
  expect(strict.judged).toMatchObject({ genuine: false });
  expect(strict.lines.join("")).toContain(
    "127.0.0.1 is an internal address. Only networks in the setting egress.allowedCIDRs may be reached",
  );
  expect(provider.requests).toEqual([]);
  const allowed = await judgedBy(["127.0.0.0/8"], false);
  const own = await judgedBy([], true);
  for (const { judged } of [allowed, own]) expect(judged).toMatchObject({ identity: { kind: "oidc", issuer: "github" } });
  for (const { stop } of [strict, allowed, own]) await stop();
  await provider.stop();
});
