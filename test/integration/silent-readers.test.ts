// Clients that ask and read nothing: what they asked for waits in memory, and is bounded.

import { connect, type Socket } from "node:net";

import { Client } from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { imageManifest, putManifest, pushBlob, pushImage } from "../conformance/content.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
let url: string;
/** A blob of more bytes than any socket keeps for its reader. */
let large: string;
const sockets: Socket[] = [];

beforeAll(async () => {
  const { access } = defaultSettings;
  registry = await startTestRegistry({ settings: { ...defaultSettings, access: { ...access, trustedProxies: ["127.0.0.0/8"] } } });
  url = registry.url;
  large = `/v2/team/large/blobs/${await pushBlob(url, "team/large", Buffer.alloc(32 * 1024 * 1024))}`;
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});
afterAll(() => registry.stop());

const at = (address: string) => ({ "x-forwarded-for": address });

/** What it asks for stands behind a blob that it does not take: sockets keep some megabytes for their readers. */
function askAndReadNothing(path: string, address: string): void {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  socket.on("error", () => {});
  socket.pause();
  const get = (asked: string) => `GET ${asked} HTTP/1.1\r\nhost: ${hostname}\r\nx-forwarded-for: ${address}\r\n\r\n`;
  socket.write(get(large) + get(path));
}

async function transfersUnderWay(): Promise<number> {
  const metrics = await send(url, "GET", "/metrics", { headers: { authorization: `Bearer ${adminToken}` } });
  return Number(/^wharfinger_transfers (\d+)$/m.exec(metrics.body.toString())?.[1]);
}

/** A list of referrers that is almost 4 MiB long. */
async function longList(): Promise<string> {
  const { digest } = await pushImage(url, "team/subject", "v1");
  const database = new Client({ connectionString: registry.databaseUrl });
  await database.connect();
  await database.query(
    `INSERT INTO manifests (repository, digest, media_type, bytes, subject, artifact_type, annotations, keep_until)
     SELECT id, 'sha256:' || encode(sha256(n::text::bytea), 'hex'), 'application/vnd.oci.image.manifest.v1+json', '{}', $1,
       'application/sbom', json_build_object('n', repeat('x', 60000)), now() + interval '1 hour'
     FROM generate_series(1, 68) AS n, repositories WHERE name = 'team/subject'`,
    [digest],
  );
  await database.end();
  return `/v2/team/subject/referrers/${digest}`;
}

test("lists that nobody reads are bounded, for one sender and for all: who asks for one more comes again, others and short lists are served", async () => {
  const list = await longList();
  const get = (path: string, address: string) => send(url, "GET", path, { headers: at(address) });
  const comeAgain = (words: string) => ({
    status: 503,
    headers: expect.objectContaining({ "retry-after": "2" }),
    words: expect.stringContaining(words),
  });
  const asked = async (path: string, address: string) => {
    const reply = await get(path, address);
    return { status: reply.status, headers: reply.headers, words: reply.body.toString("utf8", 0, 500) };
  };
  for (let number = 1; number <= 4; number++) askAndReadNothing(list, "1.1.1.1");
  await eventually(async () => expect(await transfersUnderWay()).toBe(8));
  expect(await asked(list, "1.1.1.1")).toEqual(comeAgain("You have as many long lists"));
  expect((await get("/v2/team/subject/tags/list", "1.1.1.1")).status).toBe(200);
  expect((await get(list, "2.2.2.2")).status).toBe(200);

  for (const other of ["2.2.2.2", "3.3.3.3", "4.4.4.4"]) {
    for (let number = 1; number <= 4; number++) askAndReadNothing(list, other);
  }
  await eventually(async () => expect(await transfersUnderWay()).toBe(32));
  expect(await asked(list, "5.5.5.5")).toEqual(comeAgain("Too many long lists"));
  expect((await get("/v2/team/subject/tags/list", "5.5.5.5")).status).toBe(200);
  expect((await get(`${list}?artifactType=none`, "5.5.5.5")).status).toBe(200);
  const metrics = await send(url, "GET", "/metrics", { headers: { authorization: `Bearer ${adminToken}` } });
  expect(metrics.body.toString()).toMatch(/^wharfinger_shed_requests_total\{reason="memory"\} 2$/m);

  for (const socket of sockets.splice(0)) socket.destroy();
  await eventually(async () => expect(await transfersUnderWay()).toBe(0));
  expect((await get(list, "1.1.1.1")).status).toBe(200);
});

test("a long manifest that nobody reads counts as a transfer", async () => {
  const config = await pushBlob(url, "team/app", "{}");
  const long = imageManifest({ config, layers: [], annotations: { note: "x".repeat(300 * 1024) } });
  expect((await putManifest(url, "team/app", "long", long)).status).toBe(201);
  askAndReadNothing("/v2/team/app/manifests/long", "1.1.1.1");
  await eventually(async () => expect(await transfersUnderWay()).toBe(2));
});
