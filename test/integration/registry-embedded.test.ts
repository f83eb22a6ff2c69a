// `wharfinger registry --data DIR`: database and bytes in a folder of its own, as the embedded profile of the chart runs it.

import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { digestOf } from "../../src/domain/digest.ts";
import { underPod } from "../support/as-in-a-pod.ts";
import { send } from "../support/http.ts";
import { program } from "../support/programs.ts";
import { processToken, startServing, type ServingProcess } from "../support/serving-process.ts";

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");

let folder: string;
const running: ServingProcess[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-embedded-"));
});
afterAll(async () => {
  await Promise.all(running.map((process) => process.stop()));
  await rm(folder, { recursive: true, force: true });
});

interface Given {
  readonly data: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
  readonly under?: readonly string[];
}

async function start({ data, settings = {}, args = [], under = [] }: Given): Promise<ServingProcess> {
  const file = join(folder, "settings.yaml");
  await writeFile(file, stringify(settings));
  const words = ["registry", "--allow-anonymous", "--listen", "127.0.0.1:0", "--settings", file, "--data", data, ...args];
  // So that it ends its PostgreSQL.
  const started = await startServing([...under, process.execPath, main, ...words], { ready: "Serving on ", lastSignal: "SIGTERM" });
  running.push(started);
  return started;
}

const place = async (name: string) => {
  const data = join(folder, name);
  await mkdir(data, { mode: 0o755 });
  return data;
};
const blob = Buffer.from("an image, more or less");
const push = ({ url }: ServingProcess) => send(url, "POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(blob)}`, { body: blob });
const statusWith = async ({ url }: ServingProcess, token: string) =>
  (await send(url, "GET", "/api/v1/record", { headers: { authorization: `Bearer ${token}` } })).status;

test("makes database, place for the bytes and token in the folder, and finds them again after kill -9", async () => {
  const data = await place("alone");
  const first = await start({ data });
  const token = (await readFile(join(data, "admin-token"), "utf8")).trim();
  expect((await stat(join(data, "admin-token"))).mode & 0o777).toBe(0o600);
  expect(await statusWith(first, token)).toBe(200);
  expect((await push(first)).status).toBe(201);
  const get = await program(process.execPath, [main, "get", "--data", data]);
  expect(get.stderr).toBe("");

  await first.kill9();
  const second = await start({ data });
  expect((await send(second.url, "HEAD", `/v2/team/app/blobs/${digestOf(blob)}`)).status).toBe(200);
  expect(await statusWith(second, token)).toBe(200);
});

test("a token that is given counts instead, and none is made", async () => {
  const data = await place("given");
  const file = join(folder, "token");
  await writeFile(file, processToken);
  const one = await start({ data, args: ["--admin-token-file", file] });
  expect(await statusWith(one, processToken)).toBe(200);
  await expect(stat(join(data, "admin-token"))).rejects.toThrow("ENOENT");
});

test("runs as a restricted Pod does, also on a volume that a kubelet has opened to its group", async () => {
  const data = await place("volume");
  const scratch = await place("scratch");
  const under = await underPod({ writable: [data], scratch });
  const first = await start({ data, under });
  expect((await push(first)).status).toBe(201);
  expect(await first.stop()).toBe(0);
  await chmod(join(data, "postgres"), 0o2770);
  const second = await start({ data, under });
  expect((await send(second.url, "HEAD", `/v2/team/app/blobs/${digestOf(blob)}`)).status).toBe(200);
});

test("ends when its PostgreSQL ends, and says what that said last", async () => {
  const data = await place("lost");
  const one = await start({ data });
  const pid = Number((await readFile(join(data, "postgres", "postmaster.pid"), "utf8")).split("\n")[0]);
  process.kill(pid, "SIGKILL");
  expect(await one.exited).toBe(1);
  expect(one.logs()).toMatch(/PostgreSQL ended \(SIGKILL\)/);
});

test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
  ["a database", { database: { url: "postgres://a@b/c" } }, /database\.url: with --data the database and the bytes are in that folder/],
  ["a bucket", { storage: { s3: { bucket: "registry" } } }, /storage\.s3: with --data .* or start without --data/],
  ["a folder for the bytes", { storage: { folder: "/srv/blobs" } }, /storage\.folder: with --data/],
])("refuses settings that name %s", async (_, settings, says) => {
  await expect(start({ data: join(folder, "never"), settings })).rejects.toThrow(says);
  await expect(stat(join(folder, "never"))).rejects.toThrow("ENOENT");
});
