// The standalone process from outside: how it starts, refuses to start, and ends.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { startStandalone as startHere } from "../../src/standalone/standalone.ts";
import { eventually } from "../support/eventually.ts";
import { program } from "../support/programs.ts";
import { startStandalone, wharfinger, type Standalone } from "../support/standalone.ts";

/** The data folder of an installation that was started once: initdb and migrations take most of a first start, and few tests are about that one. */
let begun: string;
let folder: string;
const processes: Standalone[] = [];
beforeAll(async () => {
  begun = await mkdtemp(join(tmpdir(), "wharfinger-begun-"));
  await (await startStandalone({ data: begun })).stop();
});
afterAll(() => rm(begun, { recursive: true, force: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-process-"));
});
afterEach(async () => {
  for (const running of processes.splice(0)) await running.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: Parameters<typeof startStandalone>[0] = {}): Promise<Standalone> {
  const data = join(folder, "data");
  // With its owners: the database may belong to somebody else.
  if (options.data === undefined && !existsSync(data)) await program("cp", ["-a", begun, data]);
  const started = await startStandalone({ data, ...options });
  processes.push(started);
  return started;
}

/** `serve` that is expected to end by itself. */
async function serve(...args: string[]): Promise<{ code: number; stderr: string }> {
  await mkdir(join(folder, "config"), { recursive: true });
  const base = ["serve", "--listen", "127.0.0.1:0", "--data", join(folder, "data"), "--config", join(folder, "config")];
  return wharfinger([...base, ...args], { cwd: folder });
}

const accessPolicy = `apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: readers}
spec:
  subjects: [{kind: Anonymous}]
  repositories: {include: ["public/**"]}
  actions: [pull]
`;

async function push(url: string, repository: string, text: string): Promise<string> {
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const reply = await fetch(`${url}/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    body: text,
    headers: { "content-type": "application/octet-stream" },
  });
  expect(reply.status).toBe(201);
  return digest;
}

test("says where it serves, keeps its token to itself, and leaves no address behind", async () => {
  const running = await start({ data: join(folder, "new") });
  expect(running.ready).toMatch(
    /^Serving http:\/\/127\.0\.0\.1:\d+ \(own images; record \S+\/new\/record at [0-9a-f]{7}\)\. Try: docker push 127\.0\.0\.1:\d+\/team-a\/app:v1$/,
  );
  expect((await fetch(`${running.url}/v2/`)).status).toBe(200);
  expect(await readFile(join(running.data, "address"), "utf8")).toBe(`${running.url}\n`);
  const token = (await readFile(join(running.data, "admin-token"), "utf8")).trim();
  expect(((await stat(join(running.data, "admin-token"))).mode & 0o777).toString(8)).toBe("600");
  expect((await fetch(`${running.url}/api/v1/record`)).status).toBe(401);
  expect((await fetch(`${running.url}/api/v1/record`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);

  expect(await running.stop()).toBe(0);
  expect(running.logs()).not.toContain(token);
  expect((await readdir(running.data)).toSorted()).toEqual(["admin-token", "blobs", "lock", "postgres", "record"]);
});

test("a second process on the same folder is refused by name, and disturbs nothing", async () => {
  const running = await start();
  const second = await serve();
  expect([second.code, second.stderr]).toEqual([
    1,
    expect.stringContaining(
      `The data folder ${running.data} is in use by process ${running.pid}. Stop that process first, or choose another folder with --data.\n`,
    ),
  ]);
  expect((await fetch(`${running.url}/v2/`)).status).toBe(200);
  expect(await readFile(join(running.data, "address"), "utf8")).toBe(`${running.url}\n`);
});

test("kill -9, and the next start mends it", async () => {
  const running = await start();
  const digest = await push(running.url, "team-a/app", "kept");
  await running.kill9();
  expect(await readFile(join(running.data, "address"), "utf8")).toBe(`${running.url}\n`); // a lie now
  const gone = await running.cli(["gc", "status"]);
  expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining("Is it running? Start it with `npm start`")]);

  const again = await running.restart();
  processes.push(again);
  expect(await (await fetch(`${again.url}/v2/team-a/app/blobs/${digest}`)).text()).toBe("kept");
  expect((await again.cli(["audit", "--deep"])).code).toBe(0);
});

test("a lost database: nothing starts beside the images of an earlier one before somebody has said how", { timeout: 180_000 }, async () => {
  const running = await start();
  await push(running.url, "team-a/app", "kept");
  await running.stop();
  await rm(join(running.data, "postgres"), { recursive: true });

  const refused = await running.restart().catch((error: Error) => error.message);
  expect(refused).toContain(`The database is empty, and the folder ${join(running.data, "blobs")} belongs to the installation `);
  expect(refused).toContain(`\`npx wharfinger restore-metadata --data ${running.data}\``);
  expect(refused).toContain("start once as you did, with `--accept-store` added");

  const again = await running.restart({ args: ["--accept-store"] });
  processes.push(again);
  expect(again.logs()).toContain("Configuration and versions come back from the record; images that were pushed");
  expect((await again.cli(["gc", "status"])).stdout).toContain("paused     store-behind since ");
  await again.stop();
  processes.push(await again.restart({ args: [] }));
});

test("a folder of before there were markers: a new database beside its images is said", async () => {
  const running = await start();
  await push(running.url, "team-a/app", "kept");
  expect(running.logs()).not.toContain("the database is new");
  await running.stop();
  for (const part of ["postgres", "blobs/marker"]) await rm(join(running.data, part), { recursive: true });
  const again = await running.restart();
  processes.push(again);
  expect(again.logs()).toContain(`the database is new, and ${join(again.data, "blobs")} holds images of an earlier one.`);
  expect(again.logs()).toContain(`put the whole folder ${again.data} back from a backup`);
});

test("restore-metadata: a bucket without its database belongs to nothing that could be restored", async () => {
  await writeFile(join(folder, "settings.yaml"), "storage:\n  s3: {bucket: registry}\n");
  const args = ["restore-metadata", "--settings", "settings.yaml", "--data", "data"];
  const refused = await wharfinger(args, { cwd: folder });
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining("settings.yaml:2: storage.s3: for `wharfinger registry` only"),
  ]);
  expect(await readdir(folder)).toEqual(["settings.yaml"]);
});

test("when PostgreSQL ends, the process says so and ends", async () => {
  const running = await start();
  const postmaster = Number((await readFile(join(running.data, "postgres/postmaster.pid"), "utf8")).split("\n")[0]);
  process.kill(postmaster, "SIGKILL");
  expect(await running.exited).toBe(1);
  expect(running.logs()).toContain("PostgreSQL ended (SIGKILL)");
});

test("a process that is forced to end in the middle of its start takes its database with it", async () => {
  await mkdir(join(folder, "config"));
  const start = startHere({
    listen: { host: "127.0.0.1", port: 0 },
    data: join(folder, "data"),
    config: join(folder, "config"),
    settings: defaultSettings,
    allowAnonymous: false,
    acceptStore: false,
    logger: createLogger({ level: "silent" }),
    version: "0.0.0",
    signal: new AbortController().signal,
    beforeForcedExit: (work) => work(), // as soon as there is something to end
  });
  await expect(start).rejects.toThrow(/^PostgreSQL ended /);
});

test("the address is taken", async () => {
  const other = createServer();
  await new Promise<void>((listening) => other.listen(0, "127.0.0.1", listening));
  const taken = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  const refused = await serve("--listen", taken);
  other.close();
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringContaining(
      `${taken} is in use by another program. Stop it, or choose another address with --listen; port 0 takes any free one.`,
    ),
  ]);
  expect(await readdir(join(folder, "data"))).not.toContain("postgres"); // said before anything was made that takes its time
  expect((await start()).url).not.toBe(""); // nothing of it stays: neither lock nor database
});

test("beyond loopback: refused, unless there is an AccessPolicy or somebody said so", async () => {
  const refused = await serve("--listen", "0.0.0.0:0");
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/^Others can reach 0\.0\.0\.0:0, and there is no AccessPolicy: /m),
  ]);
  expect(await readdir(join(folder, "data"))).not.toContain("postgres"); // refused before anything was made

  const config = join(folder, "config");
  const said = await start({ config, args: ["--listen", "0.0.0.0:0", "--allow-anonymous"] });
  await push(said.url, "team-a/app", "anonymous");
  expect(said.logs()).toContain("--allow-anonymous: until the first AccessPolicy");
  await said.stop();

  await writeFile(join(config, "access.yaml"), accessPolicy);
  const decided = await start({ config, args: ["--listen", "0.0.0.0:0"] });
  expect((await fetch(`${decided.url}/v2/team-a/app/blobs/uploads/`, { method: "POST" })).status).toBe(401);
  await decided.stop();

  // The record remembers, also when the folder is empty.
  await rm(join(config, "access.yaml"));
  const remembered = await start({ config, args: ["--listen", "0.0.0.0:0"] });
  expect((await fetch(`${remembered.url}/v2/team-a/app/blobs/uploads/`, { method: "POST" })).status).toBe(401);
});

test.each([
  [
    "no such folder",
    ["--config", "nowhere"],
    1,
    /^The configuration folder nowhere is not a folder\. Make it, or name another one with --config\.$/m,
  ],
  ["no such settings", ["--settings", "nowhere.yaml"], 1, /^nowhere\.yaml: cannot be read \(ENOENT\)$/m],
  [
    "a registry process's settings",
    ["--settings", "registry.yaml"],
    1,
    /^registry\.yaml:2: database\.url: for `wharfinger registry` only: `wharfinger serve` brings its own/m,
  ],
  ["an unknown setting", ["--settings", "settings.yaml"], 1, /^settings\.yaml:2: gc\.leese: unknown key; known here: lease, /m],
  ["no address", ["--listen", "5000"], 2, /Write host:port, for example 127\.0\.0\.1:5000/],
  ["no level", ["--log-level", "loud"], 2, /Allowed choices are trace, debug, info, warn, error, silent\./],
  ["neither yes nor no", ["--allow-anonymous=maybe"], 2, /Write true or false\./],
  ["an argument too many", ["now"], 2, /too many arguments/],
])("refused: %s", async (_, args, expected, message) => {
  await writeFile(join(folder, "settings.yaml"), "gc:\n  leese: 2s\n");
  await writeFile(join(folder, "registry.yaml"), "database:\n  url: postgres://wharfinger@db.example.com/wharfinger\n");
  const { code, stderr } = await serve(...args);
  expect(stderr).toMatch(message);
  expect(code).toBe(expected);
});

/** A push of "begun" and the rest, of which the registry has the first part; `end` sends the rest and resolves with the status. */
async function beginPush(running: Standalone): Promise<{ digest: string; end: () => Promise<number> }> {
  const [begun, rest] = ["begun", " and ended"];
  const digest = `sha256:${createHash("sha256")
    .update(begun + rest)
    .digest("hex")}`;
  const upload = request(`${running.url}/v2/team-a/app/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    headers: { "content-length": begun.length + rest.length },
  });
  const status = new Promise<number>((resolve, reject) => {
    upload.on("response", (response) => resolve(response.resume().statusCode ?? 0));
    upload.on("error", reject);
  });
  status.catch(() => {}); // of a push that is never ended
  upload.write(begun);
  // The file is made when the first byte arrives.
  await eventually(async () => expect(await readdir(join(running.data, "blobs/uploading"))).toHaveLength(1));
  return {
    digest,
    end: () => {
      upload.end(rest);
      return status;
    },
  };
}

test("a running transfer ends before the process does", async () => {
  const running = await start();
  const push = await beginPush(running);
  process.kill(running.pid, "SIGTERM");
  await eventually(() => expect(running.logs()).toContain("SIGTERM: stopping"));
  // Nothing new is taken any more, and what was begun is awaited.
  await eventually(() => expect(fetch(`${running.url}/v2/`)).rejects.toThrow("fetch failed"));
  expect(await push.end()).toBe(201);
  expect(await running.exited).toBe(0);
  const again = await running.restart();
  processes.push(again);
  expect(await (await fetch(`${again.url}/v2/team-a/app/blobs/${push.digest}`)).text()).toBe("begun and ended");
});

test("a run that waits for an upstream does not keep the process", async () => {
  const asked = Promise.withResolvers<void>();
  const silent = createServer((socket) => {
    // A probe comes, too.
    socket.on("data", (request) => request.includes("/team/app/") && asked.resolve());
    socket.on("error", () => undefined);
  });
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const config = join(folder, "config");
  await mkdir(config);
  await writeFile(
    join(config, "all.yaml"),
    `apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: silent}
spec:
  url: http://127.0.0.1:${(silent.address() as AddressInfo).port}
  insecure: true
  prefix: silent
  timeouts: {firstByte: 1h}
---
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: versions}
spec:
  upstreamRef: {name: silent}
  images: [{repository: team/app}]
  verify: {mode: Unverified}
`,
  );
  try {
    const running = await start({ config });
    await asked.promise;
    expect(await running.stop()).toBe(0);
    expect(running.logs()).not.toContain("ended at once");
  } finally {
    silent.close();
  }
});

test("a second signal does not wait for a running transfer", async () => {
  const running = await start();
  await beginPush(running);
  // One Ctrl-C may arrive twice within a second: only a later one means "now".
  let code: number | undefined;
  while (code === undefined) {
    void running.stop();
    code = await Promise.race([running.exited, sleep(200, undefined)]);
  }
  expect(code).toBe(1);
  expect(running.logs()).toContain("ended at once: SIGTERM again");
  const again = await running.restart();
  processes.push(again);
  expect((await again.cli(["audit", "--deep"])).code).toBe(0);
});
