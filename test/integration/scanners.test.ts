// Pulls of clients that are named as scanners are served, and count for no rule.

import { Client } from "pg";
import { expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { pushImage } from "../conformance/content.ts";
import { send } from "../support/http.ts";
import { createMigratedDatabase } from "../support/postgres.ts";
import { startTestRegistry } from "../support/registry.ts";

test("a scanner's pull is answered and not counted, anybody else's is", async () => {
  const database = await createMigratedDatabase();
  const settings = { ...defaultSettings, retention: { scanners: { users: [], userAgents: ["trivy"] } } };
  const registry = await startTestRegistry({ database: { url: database.url }, settings });
  for (const tag of ["scanned", "pulled"]) await pushImage(registry.url, "team-a/app", tag, { annotations: { tag } });
  const pull = (tag: string, agent: string) =>
    send(registry.url, "GET", `/v2/team-a/app/manifests/${tag}`, { headers: { "user-agent": agent } });
  expect((await pull("scanned", "trivy/0.60")).status).toBe(200);
  expect((await pull("pulled", "containerd/2.1")).status).toBe(200);
  await registry.stop(); // writes what was counted
  const client = new Client({ connectionString: database.url });
  await client.connect();
  expect((await client.query("SELECT tag, count::int FROM pulls")).rows).toEqual([{ tag: "pulled", count: 1 }]);
  await client.end();
  await database.drop();
});
