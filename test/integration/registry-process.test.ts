// `wharfinger registry`: equal processes on one PostgreSQL and one bucket, and what refuses to start.

import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { imageOf, describe as described } from "../support/own-registry.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { bucketOf, credentialsOf, startRegistryProcess, startWaitingRegistry } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { processToken, type ServingProcess } from "../support/serving-process.ts";
import { createTokenIssuer } from "../support/token-issuer.ts";

let database: TestDatabase;
let s3: S3Service;
let folder: string;
const pods: ServingProcess[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-process-"));
  [database, s3] = await Promise.all([createDatabase(), startS3Service()]);
  await writeFile(join(folder, "jwks.json"), (await createTokenIssuer({ keyId: "shared" })).jwks);
});
afterAll(async () => {
  await Promise.all(pods.map((pod) => pod.stop()));
  await s3.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const settings = () => ({ database: { url: database.url }, storage: { s3: bucketOf(s3.settings) }, spool: { folder } });
async function pod(): Promise<ServingProcess> {
  const started = await startRegistryProcess({ settings: settings(), env: credentialsOf(s3.settings) });
  pods.push(started);
  return started;
}

test("what one pod took, the other gives at once, and what one deleted the other does not have", async () => {
  const [first, second] = await Promise.all([pod(), pod()]);
  const layer = randomBytes(6 * 1024 * 1024); // more than one part of a multipart upload
  const config = Buffer.from("{}");
  for (const bytes of [layer, config]) {
    const digest = digestOf(bytes);
    expect((await send(first.url, "POST", `/v2/team/app/blobs/uploads/?digest=${digest}`, { body: bytes })).status).toBe(201);
  }
  const manifest = imageOf(described("application/vnd.oci.image.config.v1+json", config), [
    described("application/vnd.oci.image.layer.v1.tar", layer),
  ]);
  const path = "/v2/team/app/manifests/1.0";
  const put = await send(second.url, "PUT", path, { body: manifest, headers: { "content-type": mediaTypes.ociManifest } });
  expect(put.status).toBe(201);
  expect((await send(first.url, "GET", path)).body).toEqual(manifest);
  expect((await send(second.url, "GET", `/v2/team/app/blobs/${digestOf(layer)}`)).body).toEqual(layer);
  expect((await send(first.url, "DELETE", path)).status).toBe(202);
  expect((await send(second.url, "GET", path)).status).toBe(404);
});

test("with storage.s3.redirect whole blobs come from the bucket, for whoever may pull; HEAD and ranges from here", async () => {
  const bucket = { ...bucketOf(s3.settings), redirect: true, redirectEndpoint: "http://bucket.example.com:9000" };
  const one = await startRegistryProcess({
    settings: { ...settings(), storage: { s3: bucket } },
    env: credentialsOf(s3.settings),
  });
  pods.push(one);
  const layer = randomBytes(100_000);
  const path = `/v2/team/linked/blobs/${digestOf(layer)}`;
  expect((await send(one.url, "POST", `/v2/team/linked/blobs/uploads/?digest=${digestOf(layer)}`, { body: layer })).status).toBe(201);
  const moved = await send(one.url, "GET", path);
  expect(moved).toMatchObject({ status: 307, headers: { "docker-content-digest": digestOf(layer), "cache-control": "no-store" } });
  const location = new URL(moved.headers.location ?? "");
  expect([location.host, location.searchParams.get("X-Amz-Expires")]).toEqual(["bucket.example.com:9000", "600"]);
  const { hostname, port } = new URL(s3.settings.endpoint ?? "");
  const signedFor = { host: location.host };
  const followed = await send(`http://${hostname}:${port}`, "GET", location.pathname + location.search, { headers: signedFor });
  expect(followed).toMatchObject({ status: 200, headers: { "content-type": "application/octet-stream" } });
  expect(followed.body.equals(layer)).toBe(true);
  const forged = location.search.replace(/X-Amz-Expires=600/, "X-Amz-Expires=6000");
  expect((await send(`http://${hostname}:${port}`, "GET", location.pathname + forged, { headers: signedFor })).status).toBe(403);
  expect(await send(one.url, "HEAD", path)).toMatchObject({ status: 200, headers: { "content-length": "100000" } });
  const part = await send(one.url, "GET", path, { headers: { range: "bytes=99990-" } });
  expect(part.status).toBe(206);
  expect(part.body.equals(layer.subarray(99_990))).toBe(true);
  // Without the setting the other processes give the bytes themselves.
  expect((await send(pods[0]?.url ?? "", "GET", path)).status).toBe(200);
});

test("the control API takes the configured token, and the summary is the only line on stdout", async () => {
  const one = await pod();
  const record = await send(one.url, "GET", "/api/v1/record", { headers: { authorization: `Bearer ${processToken}` } });
  expect(record.status).toBe(200);
  expect((await send(one.url, "GET", "/api/v1/record")).status).toBe(401);
  expect(await one.stop()).toBe(0);
});

test("one folder is one process's", async () => {
  const own = await createDatabase();
  const both = { settings: { database: { url: own.url }, storage: { folder: join(folder, "blobs") } } };
  await mkdir(join(folder, "blobs"));
  const one = await startRegistryProcess(both);
  const other = await startWaitingRegistry(both);
  await other.says(/^FolderInUse: .*in use by process \d+/);
  await one.stop();
  expect(await (await other.serving).stop()).toBe(0);
  await own.drop();
});

test("users come from the folder of secrets, and a swapped mount takes effect", async () => {
  const mount = join(folder, "secrets");
  await mkdir(join(mount, "..1"), { recursive: true });
  const file = "default_wharfinger-users_htpasswd";
  // The password of ci is "one".
  await writeFile(join(mount, "..1", file), "ci:$2b$10$XKBO0fXGe.RYdJZhWsGJJ.HF2Cv27q4yKSlAnrMSyIwehISB4N51O\n");
  await symlink("..1", join(mount, "..data"));
  await symlink(join("..data", file), join(mount, file));
  const one = await startRegistryProcess({
    settings: { ...settings(), access: { admins: [{ kind: "User", name: "ci" }] } },
    env: credentialsOf(s3.settings),
    args: ["--secrets", mount],
  });
  pods.push(one);
  const asks = async (password: string) => {
    const authorization = `Basic ${Buffer.from(`ci:${password}`).toString("base64")}`;
    return (await send(one.url, "GET", "/api/v1/record", { headers: { authorization } })).status;
  };
  expect(await asks("one")).toBe(200);
  await mkdir(join(mount, "..2"));
  await writeFile(join(mount, "..2", file), "nobody:x\n");
  await symlink("..2", join(mount, "..next"));
  await rename(join(mount, "..next"), join(mount, "..data"));
  await eventually(async () => expect(await asks("one")).toBe(401));
});

test.each<[string, () => Record<string, unknown>, RegExp]>([
  ["no database", () => ({ storage: { folder } }), /no database\.url/],
  [
    "two databases",
    () => ({ ...settings(), database: { url: database.url, urlFile: join(folder, "url") } }),
    /database\.url and database\.urlFile/,
  ],
  ["no place for the bytes", () => ({ database: { url: database.url } }), /storage\.s3 .* or storage\.folder/],
  ["two places", () => ({ ...settings(), storage: { folder, s3: bucketOf(s3.settings) } }), /one place for the bytes/],
  [
    "a password in the settings",
    () => ({ ...settings(), database: { url: "postgres://a:b@c/d" } }),
    /database\.url: not a URL without a password/,
  ],
  ["a bucket without a name", () => ({ ...settings(), storage: { s3: {} } }), /storage\.s3: bucket is missing/],
  [
    "half of the credentials",
    () => ({ ...settings(), storage: { s3: { ...bucketOf(s3.settings), accessKeyIdFile: "/nowhere" } } }),
    /secretAccessKeyFile is missing; accessKeyIdFile needs it/,
  ],
  [
    "clusters whose keys cannot be told apart",
    () => ({
      ...settings(),
      externalURL: "https://registry.example.com",
      auth: {
        issuers: ["prod", "edge"].map((name) => ({ name, issuer: "https://kubernetes.default.svc", jwks: join(folder, "jwks.json") })),
      },
    }),
    /The key id shared is in the keys of prod and of edge \(auth\.issuers\)/,
  ],
])("refuses to start with %s", async (_, wrong, says) => {
  await expect(startRegistryProcess({ settings: wrong(), env: credentialsOf(s3.settings) })).rejects.toThrow(says);
});

test("needs no admin token where the settings name who administers", async () => {
  const options = { env: credentialsOf(s3.settings), token: false };
  const one = await startRegistryProcess({ ...options, settings: { ...settings(), access: { admins: [{ kind: "User", name: "ci" }] } } });
  pods.push(one);
  const asks = (token: string) => send(one.url, "GET", "/api/v1/record", { headers: { authorization: `Bearer ${token}` } });
  expect([(await asks("")).status, (await asks("undefined")).status, (await asks(processToken)).status]).toEqual([401, 401, 401]);
  await expect(startRegistryProcess({ ...options, settings: settings() })).rejects.toThrow(
    /Nobody could use the control API: .*--admin-token-file, or .* access\.operator or access\.admins/,
  );
});

test.each<[string, () => Record<string, unknown>, () => Readonly<Record<string, string>>, RegExp]>([
  [
    "a bucket that is not there",
    () => ({ ...bucketOf(s3.settings), bucket: "another" }),
    () => ({}),
    /^BucketMissing: The bucket another does not exist at http:.*storage\.s3\.bucket/,
  ],
  [
    "a service that is not there",
    () => ({ ...bucketOf(s3.settings), endpoint: "http://127.0.0.1:1" }),
    () => ({}),
    /^BucketUnreachable: .* cannot be reached at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)/,
  ],
  [
    "credentials that the service does not know",
    () => bucketOf(s3.settings),
    () => ({ AWS_SECRET_ACCESS_KEY: "another" }),
    /^BucketKeyRefused: .*refuses these credentials .*SignatureDoesNotMatch.*secret access key/,
  ],
  [
    "no credentials",
    () => bucketOf(s3.settings),
    () => ({ AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_PROFILE: "", HOME: folder, AWS_EC2_METADATA_DISABLED: "true" }),
    /^BucketKeyRefused: The bucket \S+ is not asked, because no credentials were found: set storage\.s3\.accessKeyIdFile and /,
  ],
])("waits with %s, and says what to do", async (_, bucket, env, says) => {
  const waiting = await startWaitingRegistry({
    settings: { ...settings(), storage: { s3: bucket() } },
    env: { ...credentialsOf(s3.settings), ...env() },
  });
  await waiting.says(says);
  expect(await waiting.stop()).toBe(0);
});

test("an address that cannot be had is said in words, and what to do", async () => {
  const one = await pod();
  const taken = `127.0.0.1:${new URL(one.url).port}`;
  const listen = (address: string) =>
    startRegistryProcess({ settings: settings(), env: credentialsOf(s3.settings), args: ["--listen", address] });
  await expect(listen(taken)).rejects.toThrow(`${taken} is in use by another program. Stop it, or choose another address with --listen`);
  await expect(listen("192.0.2.1:5000")).rejects.toThrow("192.0.2.1:5000 is no address of this machine. Choose another one with --listen.");
});
