// Uploads over real processes on one bucket: what docker does on the same pod and on another, counted at the bucket's service, and a pod that is killed.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf } from "../../src/domain/digest.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultyHop, type FaultyHop } from "../support/faulty-hop.ts";
import { send } from "../support/http.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { bucketOf, credentialsOf, startRegistryProcess } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import type { ServingProcess } from "../support/serving-process.ts";

let database: TestDatabase;
let s3: S3Service;
let hop: FaultyHop;
let folder: string;
let first: ServingProcess;
let second: ServingProcess;
const startPod = () =>
  startRegistryProcess({
    settings: { database: { url: database.url }, storage: { s3: bucketOf({ ...s3.settings, endpoint: hop.url }) }, spool: { folder } },
    env: credentialsOf(s3.settings),
  });
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-upload-pods-"));
  [database, s3] = await Promise.all([createDatabase(), startS3Service()]);
  hop = await startFaultyHop(s3.settings.endpoint ?? "");
  [first, second] = await Promise.all([startPod(), startPod()]);
});
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await hop.stop();
  await s3.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const mebibyte = 1024 * 1024;
const uploads = "/v2/team/app/blobs/uploads/";
async function begin(pod: ServingProcess): Promise<string> {
  const { headers, status } = await send(pod.url, "POST", uploads);
  expect(status).toBe(202);
  return headers.location ?? "";
}
const pulled = async (pod: ServingProcess, bytes: Buffer) =>
  (await send(pod.url, "GET", `/v2/team/app/blobs/${digestOf(bytes)}`)).body.equals(bytes);

test.each([
  ["small", 40_000],
  ["of parts and a tail", 12 * mebibyte],
])("docker's PATCH and empty PUT read no byte from the bucket, on the same pod and on another: %s", async (_, size) => {
  for (const pod of [first, second]) {
    const bytes = randomBytes(size);
    const session = await begin(first);
    hop.reads();
    const patched = await send(first.url, "PATCH", session, { body: bytes });
    expect(patched).toMatchObject({ status: 202, headers: { range: `0-${size - 1}` } });
    expect((await send(pod.url, "PUT", `${session}?digest=${digestOf(bytes)}`, { body: "" })).status).toBe(201);
    expect(hop.reads()).toEqual({ requests: 0, bytes: 0 });
    expect(await pulled(first, bytes)).toBe(true);
    expect(await pulled(second, bytes)).toBe(true);
  }
});

test("a range is one request of the bucket, for its bytes alone", async () => {
  const bytes = randomBytes(12 * mebibyte);
  const put = `${await begin(first)}?digest=${digestOf(bytes)}`;
  expect((await send(first.url, "PUT", put, { body: bytes })).status).toBe(201);
  for (const [start, end] of [
    [0, 1_000],
    [6 * mebibyte, 6 * mebibyte + 300_000],
    [bytes.byteLength - 70_000, bytes.byteLength],
  ] as const) {
    hop.reads();
    const headers = { range: `bytes=${start}-${end - 1}` };
    const part = await send(second.url, "GET", `/v2/team/app/blobs/${digestOf(bytes)}`, { headers });
    expect(part.status).toBe(206);
    expect(part.body.equals(bytes.subarray(start, end))).toBe(true);
    expect(hop.reads()).toEqual({ requests: 1, bytes: end - start });
  }
});

test("a pod is killed in the middle of a PATCH: another one goes on where it was acknowledged, and late answers find the blob", async () => {
  const [one, lost, two, three] = [6 * mebibyte, 20 * mebibyte, 9 * mebibyte, 70_000].map((size) => randomBytes(size)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  const session = await begin(first);
  expect((await send(first.url, "PATCH", session, { body: one })).status).toBe(202);
  const { hostname, port } = new URL(first.url);
  const length = String(lost.byteLength + 1);
  const outgoing = request({ hostname, port, method: "PATCH", path: session, headers: { "content-length": length } });
  const broken = once(outgoing, "close").catch(() => undefined);
  outgoing.write(lost);
  // Parts of it are in the bucket, and its last byte never comes.
  await eventually(() => expect(hop.answered.filter((line) => line.includes("partNumber=3"))).not.toEqual([]));
  first.signal("SIGKILL");
  await Promise.all([first.exited, broken]);
  const status = await send(second.url, "GET", session);
  expect(status).toMatchObject({ status: 204, headers: { range: `0-${one.byteLength - 1}` } });
  const range = `${one.byteLength}-${one.byteLength + two.byteLength - 1}`;
  expect((await send(second.url, "PATCH", session, { body: two, headers: { "content-range": range } })).status).toBe(202);
  first = await startPod();
  const whole = Buffer.concat([one, two, three]);
  const put = `${session}?digest=${digestOf(whole)}`;
  expect((await send(first.url, "PUT", put, { body: three })).status).toBe(201);
  // As a client asks that did not hear the answer.
  expect((await send(second.url, "PUT", put, { body: three })).status).toBe(201);
  expect((await send(second.url, "PUT", `${session}?digest=${digestOf("never")}`, { body: three })).status).toBe(404);
  expect(await pulled(second, whole)).toBe(true);
});
