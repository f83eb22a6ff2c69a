// The key of access tokens, and processes that are killed while they make it: the next one makes it or has it, and there is one.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { Database } from "../../src/registry/metadata/database.ts";
import { send } from "../support/http.ts";
import { createMigratedDatabase } from "../support/postgres.ts";
import { startRegistryProcess } from "../support/registry-process.ts";

test.each([
  ["before it is stored", "keys.making", 0],
  ["after it was stored", "keys.made", 1],
])("kill -9 %s", async (_, step, stored) => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-keys-"));
  const database = await createMigratedDatabase();
  const direct = new Database({ url: database.url, connections: 1 });
  const ids = async () => (await direct.query<{ id: string }>({ name: "", text: "SELECT id FROM token_keys" })).map(({ id }) => id);
  const start = (env: Readonly<Record<string, string>>) =>
    startRegistryProcess({
      settings: { database: { url: database.url }, storage: { folder }, externalURL: "http://127.0.0.1:5000" },
      node: ["--conditions=failpoints"],
      env,
    });
  try {
    await expect(start({ FAILPOINT: `${step}:kill` })).rejects.toThrow("before it was ready");
    const left = await ids();
    expect(left).toHaveLength(stored);
    const one = await start({});
    const [key, ...more] = await ids();
    expect([more, stored === 0 || key === left[0]]).toEqual([[], true]);
    const asked = await send(one.url, "GET", "/token?scope=repository:team/app:pull");
    const { token } = asked.json() as { token: string };
    expect(JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString())).toEqual({
      alg: "EdDSA",
      typ: "wharfinger+jwt",
      kid: key,
    });
    await one.kill9();
    // A token of before counts after a restart.
    const next = await start({});
    const base = await send(next.url, "GET", "/v2/", { headers: { authorization: `Bearer ${token}` } });
    expect([base.status, await ids()]).toEqual([200, [key]]);
    await next.stop();
  } finally {
    await direct.close();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  }
});
