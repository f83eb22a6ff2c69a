// The guide's commands on a standalone process: its database is lost and comes back from a snapshot, beside a record that is newer, and then older.

import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf } from "../../src/domain/digest.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { startStandalone, wharfinger, type Standalone } from "../support/standalone.ts";

let folder: string;
let running: Standalone | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-restore-"));
});
afterAll(async () => {
  await running?.stop();
  await rm(folder, { recursive: true, force: true });
});

const policy = (description: string) => `apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${description}}
spec:
  subjects: [{kind: Anonymous}]
  repositories: {include: ["team-a/**"]}
  actions: [pull, push]
`;

async function push(url: string, text: string): Promise<string> {
  const digest = digestOf(text);
  expect((await send(url, "POST", `/v2/team-a/app/blobs/uploads/?digest=${digest}`, { body: text })).status).toBe(201);
  return digest;
}

const pull = async (url: string, digest: string) => (await send(url, "GET", `/v2/team-a/app/blobs/${digest}`)).body.toString();
const status = async (on: Standalone) =>
  JSON.parse((await on.cli(["record", "status", "-o", "json"])).stdout) as { revision: string; head: string };

test("a lost database beside a newer record, then beside an older one", { timeout: 300_000 }, async () => {
  const first = await startStandalone({ data: join(folder, "data"), config: await configuration() });
  running = first;
  const digest = await push(first.url, "kept");
  await writeFile(join(first.config, "one.yaml"), policy("one"));
  await eventually(async () => expect((await first.cli(["get"])).stdout).toContain("one"));
  const published = await status(first);
  const backup = await first.cli(["backup", "now"]);
  expect([backup.code, backup.stdout]).toEqual([
    0,
    expect.stringMatching(/^SNAPSHOT .*\n[0-9a-f-]{36}\/\d{8}t\d{6}z-[0-9a-f]{4} .* command /),
  ]);
  const name = /[0-9a-f-]{36}\/\S+/.exec(backup.stdout)?.[0] ?? "";
  expect((await first.cli(["backup", "list"])).stdout).toContain(name);
  await first.stop();
  await cp(join(first.data, "record"), join(folder, "older-record"), { recursive: true });

  // The record goes on after the snapshot.
  const second = await first.restart();
  running = second;
  await writeFile(join(second.config, "two.yaml"), policy("two"));
  await eventually(async () => expect((await second.cli(["get"])).stdout).toContain("two"));
  const newer = await status(second);
  expect(newer.revision).not.toBe(published.revision);
  const busy = await wharfinger(["restore-metadata", "--data", second.data]);
  expect([busy.code, busy.stderr]).toEqual([1, expect.stringContaining(`in use by process ${second.pid}`)]);
  await second.stop();

  await rm(join(second.data, "postgres"), { recursive: true });
  const misnamed = await wharfinger(["restore-metadata", "--data", second.data, "--snapshot", "nope"]);
  expect([misnamed.code, misnamed.stderr]).toEqual([1, expect.stringContaining(`take one with --snapshot NAME:\n  ${name}  taken at `)]);
  const restored = await wharfinger(["restore-metadata", "--data", second.data]);
  expect([restored.code, restored.stderr]).toEqual([0, expect.stringContaining(`Restored ${name}, taken at `)]);
  const third = await second.restart();
  running = third;
  expect(await pull(third.url, digest)).toBe("kept");
  await eventually(async () => expect((await status(third)).revision).toBe(newer.revision));
  expect((await third.cli(["gc", "status"])).stdout).toContain(`paused     database-behind since `);
  const adopted = await third.cli(["audit", "--adopt"]);
  expect([adopted.code, adopted.stderr]).toEqual([0, expect.stringContaining("The collector goes on.")]);
  expect((await third.cli(["gc", "status"])).stdout).not.toContain("paused");
  await third.stop();

  // An older copy of the record: what is published stays, and a person is asked.
  await rm(join(third.data, "record"), { recursive: true });
  await cp(join(folder, "older-record"), join(third.data, "record"), { recursive: true });
  const fourth = await third.restart();
  running = fourth;
  await eventually(() => expect(fourth.logs()).toContain(`the published revision ${newer.revision} is not in the record's history`));
  expect((await status(fourth)).revision).toBe(newer.revision);
  expect(await pull(fourth.url, digest)).toBe("kept");
});

async function configuration(): Promise<string> {
  return mkdtemp(join(folder, "config-"));
}
