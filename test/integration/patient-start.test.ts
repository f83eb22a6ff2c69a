// A start with everything in its way, one thing after the other: the process says what it is, waits, and goes on when it is mended.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { connectS3, type S3 } from "../../src/registry/blobs/s3-client.ts";
import { freePort } from "../support/distribution.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { startPostgresServer, type PostgresServer } from "../support/postgres-server.ts";
import { bucketOf, startRegistryProcess, startWaitingRegistry, type WaitingRegistry } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { processToken, type Launched } from "../support/serving-process.ts";

const bucket = "mine";
const [onBucket, onObjects] = [
  ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
  ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
];

let server: PostgresServer;
let service: S3Service;
let root: S3;
let folder: string;
const started: Pick<WaitingRegistry, "stop">[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-patient-"));
  [server, service] = await Promise.all([
    startPostgresServer({ hba: ["host all wharfinger 127.0.0.1/32 trust", "host all app 127.0.0.1/32 scram-sha-256"] }),
    startS3Service(),
  ]);
  root = await connectS3({ ...service.settings, bucket });
  await server.run("CREATE ROLE app LOGIN PASSWORD 'right'");
});
afterAll(async () => {
  await Promise.all(started.map((process) => process.stop()));
  root?.client.destroy();
  await service?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const file = (name: string) => join(folder, name);
const put = (name: string, text: string) => writeFile(file(name), text);
const url = (user: string, database: string, port = server.port) => `postgresql://${user}@127.0.0.1:${port}/${database}`;
const keys = ({ credentials: { accessKeyId, secretAccessKey } }: S3Service["settings"]) =>
  Promise.all([put("key", accessKeyId), put("secret", secretAccessKey)]);

/** Gives the user of the test all rights but this one. */
async function allowAllBut(missing: string): Promise<void> {
  const statement = (actions: readonly string[] = [], resource = "") => ({
    Effect: "Allow",
    Principal: { AWS: ["app"] },
    Action: actions.filter((action) => action !== missing),
    Resource: resource,
  });
  const Statement = [statement(onBucket, `arn:aws:s3:::${bucket}`), statement(onObjects, `arn:aws:s3:::${bucket}/*`)];
  const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
  await root.client.send(new root.sdk.PutBucketPolicyCommand({ Bucket: bucket, Policy }));
}

/** Each reason once. */
function saidOnce(logs: string): void {
  const said = logs.match(/"reason":.*/g) ?? [];
  expect(said.length).toBeGreaterThan(5);
  expect(said.filter((line, index) => line === said[index - 1])).toEqual([]);
  expect(logs).toContain("What was in the way is gone");
}

test("whatever is wrong with the database is said in turn, once each, and the process serves when all is mended", async () => {
  await put("url", "postgresql://app@no-such-host.invalid/registry");
  const waiting = await startWaitingRegistry({
    settings: {
      database: { urlFile: file("url") },
      storage: { folder: file("blobs") },
    },
  });
  started.push(waiting);
  const { says } = waiting;

  await says(/^DatabaseUnreachable: .*no-such-host\.invalid\)\. Nobody knows that host/);
  await put("url", url("app:right", "registry", 1));
  await says(/^DatabaseUnreachable: .*ECONNREFUSED.*Nobody listens there/);
  await put("url", "half a URL");
  await says(/^DatabaseFileUnusable: .*must look like postgresql:.*It is read from .*url/);
  await put("url", `${url("app:right", "registry")}?sslmode=require`);
  await says(/^DatabaseTLSFailed: .*offers no TLS/);
  await put("url", url("app:wrong", "registry"));
  await says(/^DatabaseLoginRefused: .*refuses the password.*url, which is read again/);
  await put("url", url("app:right", "registry"));
  await says(/^DatabaseMissing: .*"registry" does not exist.*CREATE DATABASE/);
  await server.run("CREATE DATABASE registry");
  await says(/^DatabaseRightsMissing: The role app may not create tables/);
  await server.run("ALTER DATABASE registry OWNER TO app");
  await server.run("CREATE TABLE orders (id integer)", { database: "registry" });
  await says(/^DatabaseOfAnotherProgram: The database registry has tables of another program \(orders\)/);
  await server.run("DROP TABLE orders", { database: "registry" });

  const serving = await waiting.serving;
  expect((await send(serving.url, "GET", "/v2/")).status).toBeLessThan(500);
  saidOnce(waiting.logs());
  expect(waiting.logs()).not.toMatch(/right@|wrong@/);
  await serving.stop();

  await server.run("INSERT INTO migrations (number, name) VALUES (9999, '9999-of-tomorrow.sql')", { database: "registry" });
  const newer = await startWaitingRegistry({ settings: { database: { url: server.url("registry") }, storage: { folder: file("empty") } } });
  started.push(newer);
  await newer.says(/^DatabaseNewer: The database was made by a newer Wharfinger \(it has 9999-of-tomorrow\.sql\)/);
  await server.run("DELETE FROM migrations WHERE number = 9999", { database: "registry" });
  // Its marker is in the other folder.
  await newer.says(/^StoreOfAnotherInstallation: The folder .*empty has no marker of this installation/);
  expect(await newer.stop()).toBe(0);
});

test("whatever is wrong with the bucket is said in turn, once each, and the process serves when all is mended", async () => {
  await server.run("CREATE DATABASE bucket");
  await keys({ ...service.settings, credentials: { accessKeyId: "nobody", secretAccessKey: "wrong" } });
  const s3 = { ...bucketOf(service.settings), bucket, accessKeyIdFile: file("key"), secretAccessKeyFile: file("secret") };
  const waiting = await startWaitingRegistry({ settings: { database: { url: server.url("bucket") }, storage: { s3 }, spool: { folder } } });
  started.push(waiting);
  const { says } = waiting;
  await says(/^BucketKeyRefused: .*nobody there has this access key/);
  await put("key", service.settings.credentials.accessKeyId);
  await says(/^BucketKeyRefused: .*SignatureDoesNotMatch/);
  await keys(service.settings);
  await says(/^BucketMissing: The bucket mine does not exist/);
  await keys(await service.addUser("app"));
  await root.client.send(new root.sdk.CreateBucketCommand({ Bucket: bucket }));
  await says(/^BucketRightsMissing: .* the right s3:ListBucket: /);
  for (const right of ["s3:GetObject", "s3:ListBucketMultipartUploads", "s3:AbortMultipartUpload", "s3:DeleteObject"]) {
    await allowAllBut(right);
    await says(new RegExp(`^BucketRightsMissing: .* the right ${right}: `));
  }
  const marker = { Bucket: bucket, Key: "marker/5b0ea6a1-8d9c-4b5a-9f0e-0c6b1f6f0a11/000000000007" };
  await root.client.send(new root.sdk.PutObjectCommand({ ...marker, Body: "{}" }));
  await allowAllBut("s3:PutObject");
  await says(/^StoreOfAnotherInstallation: The database is empty, and the bucket mine belongs to the installation 5b0ea6a1/);
  await root.client.send(new root.sdk.DeleteObjectCommand(marker));
  await says(/^BucketRightsMissing: .*refused to store an object \(403 AccessDenied\)\. Add s3:PutObject/);
  await allowAllBut("nothing");

  expect(await (await waiting.serving).stop()).toBe(0);
  saidOnce(waiting.logs());
});

test("without a listener of its own for probes it answers on the only one: the reason for all, the sentence for who administers", async () => {
  const launched = Promise.withResolvers<Launched>();
  const address = `127.0.0.1:${await freePort()}`;
  await put("only", url("app:wrong", "registry"));
  const serving = startRegistryProcess({
    settings: { database: { urlFile: file("only") }, storage: { folder: file("other") } },
    args: ["--listen", address],
    launched: launched.resolve,
  });
  serving.catch(() => undefined);
  started.push(await launched.promise);
  const at = `http://${address}`;
  const ready = async (headers = {}) => send(at, "GET", "/readyz", { headers }).then(({ status, body }) => `${status} ${body.toString()}`);
  const told = '503 {"ready":false,"checks":[{"name":"start","ready":false,"message":"DatabaseLoginRefused"}]}';
  await eventually(async () => expect(await ready()).toBe(told));
  expect(await ready({ authorization: `Bearer ${processToken}` })).toMatch(
    /^503 .*DatabaseLoginRefused: The database refuses the password/,
  );
  expect(await send(at, "GET", "/livez")).toMatchObject({ status: 200 });
  for (const [method, path] of [
    ["GET", "/v2/"],
    ["PUT", "/v2/a/blobs/uploads/x"],
    ["GET", "/api/v1/record"],
    ["GET", "/token"],
  ] as const) {
    const answer = await send(at, method, path, method === "PUT" ? { body: Buffer.alloc(100_000) } : {});
    expect(answer).toMatchObject({ status: 503, headers: { "retry-after": "3" } });
    expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: "UNAVAILABLE" }] });
  }
  await server.run("DROP DATABASE IF EXISTS another");
  await server.run("CREATE DATABASE another OWNER app");
  await put("only", url("app:right", "another"));
  expect((await serving).url).toBe(at);
  expect((await send(at, "GET", "/readyz")).status).toBe(200);
});
