// Every process of an installation is replaced while clients pull that never try again: with TLS, three listeners and a Service before them.

import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf, randomBlob } from "../conformance/content.ts";
import { createAuthority, forServers, issue } from "../support/certificates.ts";
import { startClusterService, type ClusterService } from "../support/cluster-service.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { describe as described, imageOf } from "../support/own-registry.ts";
import { createMigratedDatabase, type TestDatabase } from "../support/postgres.ts";
import { bucketOf, credentialsOf, startRegistryProcess } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import type { ServingProcess } from "../support/serving-process.ts";

let folder: string;
let ca: string;
let database: TestDatabase;
let s3: S3Service;
let service: ClusterService;
const pods: ServingProcess[] = [];

const small = randomBlob(300_000);
const large = randomBlob(48 * 1024 * 1024);
const manifest = imageOf(described("application/vnd.oci.image.config.v1+json", randomBlob(100)), []);
const type = "application/vnd.oci.image.manifest.v1+json";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-rolling-"));
  await createAuthority(folder, "test authority");
  ca = await readFile(join(folder, "ca.crt"), "utf8");
  const pair = await issue(folder, { name: "registry", extensions: forServers("IP:127.0.0.1") });
  await Promise.all([writeFile(join(folder, "tls.crt"), pair.cert), writeFile(join(folder, "tls.key"), pair.key)]);
  [database, s3, service] = await Promise.all([createMigratedDatabase(), startS3Service(), startClusterService()]);
});
afterAll(async () => {
  await Promise.all(pods.map((pod) => pod.kill9()));
  await service?.stop();
  await Promise.all([database?.drop(), s3?.stop(), rm(folder, { recursive: true, force: true })]);
});

async function startPod(): Promise<ServingProcess> {
  const one = "127.0.0.1:0";
  const pod = await startRegistryProcess({
    settings: {
      database: { url: database.url },
      storage: { s3: bucketOf(s3.settings) },
      allowMissingBlobs: ["team/**"],
      // The Service has to hear of it meanwhile, on a machine that has much else to do, too.
      stop: { delay: "8s", grace: "1m" },
    },
    args: [
      "--control-listen",
      one,
      "--admin-listen",
      one,
      "--tls-certificate",
      join(folder, "tls.crt"),
      "--tls-key",
      join(folder, "tls.key"),
    ],
    env: credentialsOf(s3.settings),
  });
  pods.push(pod);
  service.add(pod);
  await eventually(() => expect(service.ready).toContain(pod));
  return pod;
}

/** Asks for one thing after the other, and remembers whatever is not the right answer. */
function puller(agent: Agent, failures: string[]) {
  const stopping = new AbortController();
  let pulls = 0;
  const pull = async (path: string, expected: Buffer): Promise<void> => {
    const outgoing = request({ host: "127.0.0.1", port: service.port, path, ca, agent, headers: { accept: type } });
    outgoing.end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    const body = Buffer.concat(await response.toArray());
    if (response.statusCode !== 200 || !body.equals(expected)) throw new Error(`${response.statusCode}, ${body.length} bytes`);
    pulls++;
  };
  const loop = (async () => {
    const paths: [string, Buffer][] = [
      ["/v2/team/app/manifests/v1", manifest],
      [`/v2/team/app/blobs/${digestOf(small)}`, small],
    ];
    // In pauses: what they prove is that none fails, not how many there can be.
    for (; !stopping.signal.aborted; await sleep(20))
      for (const [path, expected] of paths)
        await pull(path, expected).catch((error: Error) => failures.push(`${new Date().toISOString()} ${path}: ${String(error)}`));
  })();
  return {
    get pulls() {
      return pulls;
    },
    stop: async () => {
      stopping.abort();
      await loop;
      agent.destroy();
    },
  };
}

test("no pull fails while each process is replaced, and a long one comes to its end", async () => {
  const [first, second] = [await startPod(), await startPod()];
  for (const bytes of [small, large])
    expect((await send(first.url, "POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes, ca })).status).toBe(201);
  const pushed = await send(first.url, "PUT", "/v2/team/app/manifests/v1", { body: manifest, headers: { "content-type": type }, ca });
  expect(pushed.status).toBe(201);

  const failures: string[] = [];
  const pullers = [true, true, false].map((keepAlive) => puller(new Agent({ keepAlive, maxSockets: 1 }), failures));
  const all = () => pullers.reduce((sum, { pulls }) => sum + pulls, 0);
  await eventually(() => expect(all()).toBeGreaterThan(20));

  const slow = request(`${first.url}/v2/team/app/blobs/${digestOf(large)}`, { ca });
  slow.end();
  const [response] = (await once(slow, "response")) as [IncomingMessage];
  response.pause();

  for (const pod of [first, second]) {
    await startPod();
    pod.signal("SIGTERM");
    // Said at once, while it still takes connections.
    await eventually(async () => {
      const { status, body } = await send(pod.adminUrl, "GET", "/readyz");
      expect([status, body.toString()]).toEqual([503, expect.stringContaining("is stopping") as string]);
    });
    const last = await send(pod.url, "GET", "/v2/", { ca, headers: { connection: "keep-alive" } });
    expect([last.status, last.headers.connection]).toEqual([200, "close"]);
    await eventually(async () => {
      await expect(send(pod.url, "GET", "/v2/", { ca })).rejects.toThrow(/ECONNREFUSED/);
    });
    // What is under way at the first of them goes on; nobody waits at the second.
    const taken = pod === first ? response.toArray() : Promise.resolve([large]);
    expect(Buffer.concat(await taken).equals(large)).toBe(true);
    expect(await pod.exited).toBe(0);
    const before = all();
    await eventually(() => expect(all()).toBeGreaterThan(before + 20));
  }
  await Promise.all(pullers.map((one) => one.stop()));
  expect(failures).toEqual([]);
});
