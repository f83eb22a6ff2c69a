// Every source of an import against the same content of a real distribution: its folder, its bucket, and itself.

import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { BucketTree } from "../../src/import/bucket-tree.ts";
import { FolderTree } from "../../src/import/folder-tree.ts";
import { importSourceConformance, type SourceContent } from "../../src/import/import-source.conformance.ts";
import type { ImportSource } from "../../src/import/import-source.ts";
import { RegistryLayout } from "../../src/import/registry-layout.ts";
import { RunningRegistry } from "../../src/import/running-registry.ts";
import { freePort, startDistribution, type Distribution } from "../support/distribution.ts";
import { program } from "../support/programs.ts";
import { adminToken, startTestRegistry } from "../support/registry.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { fillSource } from "../support/source-content.ts";

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const prefix = "old/registry";
const anonymous = { credentials: { state: "anonymous" }, credentialsFrom: "the test", allowedHosts: [] } as const;

let folder: string;
let service: S3Service;
let onDisk: Distribution;
let onBucket: Distribution;
let contents: Record<"disk" | "bucket", SourceContent>;
const sources: Record<string, ImportSource> = {};
const opened: ImportSource[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-source-"));
  service = await startS3Service();
  onDisk = await startDistribution({ folder });
  onBucket = await startDistribution({ bucket: { ...service.settings, prefix } });
  contents = { disk: await fillSource(onDisk.url), bucket: await fillSource(onBucket.url) };
  sources["folder"] = await RegistryLayout.open(new FolderTree(folder));
  sources["bucket"] = await RegistryLayout.open(await BucketTree.connect({ ...service.settings, prefix: `${prefix}/` }));
  sources["running"] = await RunningRegistry.open({ url: new URL(onDisk.url), ...anonymous });
});
afterAll(async () => {
  for (const source of [...Object.values(sources), ...opened]) await source.close();
  for (const part of [onDisk, onBucket, service]) await part?.stop();
  await rm(folder, { recursive: true, force: true });
});

importSourceConformance("a folder", { listsManifests: true }, () => ({ source: sources["folder"]!, content: contents.disk }));
importSourceConformance("a bucket", { listsManifests: true }, () => ({ source: sources["bucket"]!, content: contents.bucket }));
importSourceConformance("a running registry", { listsManifests: false }, () => ({ source: sources["running"]!, content: contents.disk }));

test("docker/registry/v2 itself is as good as the folder that holds it", async () => {
  const inner = await RegistryLayout.open(new FolderTree(join(folder, "docker/registry/v2")));
  expect(await inner.tags("win")).toEqual(["ltsc"]);
  const inBucket = await RegistryLayout.open(await BucketTree.connect({ ...service.settings, prefix: `${prefix}/docker/registry/v2/` }));
  opened.push(inBucket);
  expect(await inBucket.tags("win")).toEqual(["ltsc"]);
});

test("more than a page of the bucket's list", async () => {
  const many = Array.from({ length: 1_203 }, (_, index) => `t${index}`);
  const tags = "docker/registry/v2/repositories/many/_manifests/tags";
  const tree = await BucketTree.connect({ ...service.settings, prefix: `${prefix}-many/` });
  const { sdk, client } = await import("../../src/registry/blobs/s3-client.ts").then(({ connectS3 }) => connectS3(service.settings));
  for (let from = 0; from < many.length; from += 100) {
    const part = many.slice(from, from + 100);
    await Promise.all(
      part.map((tag) =>
        client.send(
          new sdk.PutObjectCommand({ Bucket: service.settings.bucket, Key: `${prefix}-many/${tags}/${tag}/current/link`, Body: "x" }),
        ),
      ),
    );
  }
  client.destroy();
  const layout = await RegistryLayout.open(tree);
  opened.push(layout);
  expect([...((await layout.tags("many")) ?? [])].sort()).toEqual(many.sort());
});

test("a running registry that sends clients to its bucket leads to a private address only where that was allowed", async () => {
  const content = contents.bucket;
  const url = new URL(onBucket.url);
  const refused = await RunningRegistry.open({ url, ...anonymous });
  const digest = content.tool.digest;
  const manifest = await refused.manifest("team/deep/er/tool", digest);
  expect(manifest?.digest).toBe(digest);
  const { layers } = JSON.parse(Buffer.from(manifest?.bytes ?? "").toString()) as { layers: { digest: typeof digest }[] };
  const layer = layers[0]!.digest;
  const storage = new URL(service.settings.endpoint ?? "");
  await expect(refused.blob("team/deep/er/tool", layer, 0)).rejects.toMatchObject({
    code: "Unusable",
    message: expect.stringMatching(/127\.0\.0\.1.*--allow-host/) as string,
  });
  const allowed = await RunningRegistry.open({ url, ...anonymous, allowedHosts: [storage.host] });
  opened.push(refused, allowed);
  const blob = await allowed.blob("team/deep/er/tool", layer, 0);
  expect(blob?.size).toBe(content.layer.byteLength);
  for await (const _ of blob?.body ?? []) break;
});

test("a bucket that is not there, keys that are wrong, a service that is away: what to do is said", async () => {
  const { settings } = service;
  const connect = async (change: object) => RegistryLayout.open(await BucketTree.connect({ ...settings, prefix: "", ...change }));
  const refused = (message: string) => ({ code: "Unusable", message: expect.stringContaining(message) as string });
  await expect(connect({ bucket: "nowhere" })).rejects.toMatchObject(refused("There is no bucket nowhere"));
  const wrong = { credentials: { accessKeyId: "wharfinger", secretAccessKey: "guess" } };
  await expect(connect(wrong)).rejects.toMatchObject(refused("may not be read with these credentials"));
  await expect(connect({ credentials: { accessKeyId: "nobody", secretAccessKey: "guess" } })).rejects.toMatchObject(
    refused("s3:ListBucket"),
  );
  await expect(connect({ prefix: "nothing/here/" })).rejects.toMatchObject(refused("nothing/here/ holds no registry"));
  const away = `http://127.0.0.1:${await freePort()}`;
  await expect(connect({ endpoint: away })).rejects.toMatchObject({
    code: "Unreachable",
    message: expect.stringContaining("ECONNREFUSED") as string,
  });
});

test("wharfinger import s3://…, with credentials as the AWS SDK finds them", async () => {
  const { settings } = service;
  const registry = await startTestRegistry();
  try {
    const { code, stdout, stderr } = await program(
      process.execPath,
      [
        main,
        "import",
        `s3://${settings.bucket}/${prefix}`,
        "--endpoint",
        settings.endpoint ?? "",
        "--registry",
        registry.url,
        "-o",
        "json",
      ],
      {
        env: {
          WHARFINGER_TOKEN: adminToken,
          AWS_ACCESS_KEY_ID: settings.credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: settings.credentials.secretAccessKey,
        },
      },
    );
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^3 of 3: /m)]);
    expect(JSON.parse(stdout)).toMatchObject({ repositories: { done: 3 }, tags: { created: 7 }, problems: [] });
    const index = await fetch(`${registry.url}/v2/team/app/manifests/${contents.bucket.index}`);
    expect(index.status).toBe(200);
  } finally {
    await registry.stop();
  }
});

test.each(["", "docker", "docker/registry/v2/blobs"])("%j of a copy is no registry, and is told so", async (path) => {
  const copy = await mkdtemp(join(tmpdir(), "wharfinger-part-"));
  try {
    if (path !== "") await cp(join(folder, path), copy, { recursive: true });
    await expect(RegistryLayout.open(new FolderTree(copy))).rejects.toMatchObject({
      code: "Unusable",
      message: expect.stringContaining("holds no registry") as string,
    });
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
});
