import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

import { audience, clusterIssuer, createTokenIssuer } from "../../test/support/token-issuer.ts";
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
  const access = { admins: ["root"], operator: account("operator"), jobs: account("jobs") };
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
  ["an account of a cluster without keys", { access: { operator: account("operator", "edge") } }, "of edge, which auth.issuers does not"],
  ["a cluster that is there twice", { clusters: [{ name: "prod" }, { name: "prod" }] }, "names prod twice"],
])("%s is refused", (_, part, message) => expect(() => principalsOf(settings(part))).toThrow(message));

test("tokens need to know whom they are for, and keys that tell the clusters apart", async () => {
  const open = (part: Parameters<typeof settings>[0]) =>
    openWhole(async (closing) => {
      const tokens = await openTokens(settings(part), { logger: pino({ level: "silent" }), closing });
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
