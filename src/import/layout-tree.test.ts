// Files that are none, have no end, or say no length: an import must neither wait for them nor hold them in memory.

import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { program } from "../../test/support/programs.ts";
import { digestOf, hexOf } from "../domain/digest.ts";
import { maxManifestBytes } from "../domain/manifest.ts";
import { BucketTree } from "./bucket-tree.ts";
import { FolderTree } from "./folder-tree.ts";
import { RegistryLayout } from "./registry-layout.ts";

let folder: string;
const servers: Server[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-tree-"));
});
afterEach(() => servers.splice(0).forEach((server) => server.close().closeAllConnections()));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function pipe(file: string): Promise<void> {
  const { code, stderr } = await program("mkfifo", [file]);
  if (code !== 0) throw new Error(stderr);
}

/** A folder of a registry whose one manifest is what `make` puts there. */
async function manifestAt(name: string, make: (file: string) => unknown) {
  const digest = digestOf(name);
  const hex = hexOf(digest);
  const root = join(folder, name);
  const link = join(root, "repositories/app/_manifests/revisions/sha256", hex, "link");
  const data = join(root, "blobs/sha256", hex.slice(0, 2), hex, "data");
  await mkdir(dirname(link), { recursive: true });
  await mkdir(dirname(data), { recursive: true });
  await writeFile(link, digest);
  await make(data);
  return { source: await RegistryLayout.open(new FolderTree(root)), digest };
}

test.each([
  ["a pipe that nobody writes into", pipe],
  ["a device without an end", (file: string) => symlink("/dev/zero", file)],
  ["a folder", (file: string) => mkdir(file)],
])("%s in the place of a manifest is named, and is no blob either", async (name, make) => {
  const { source, digest } = await manifestAt(name, make);
  await expect(source.manifest("app", digest)).rejects.toMatchObject({
    code: "BrokenLink",
    message: expect.stringMatching(/data is not a file$/) as string,
  });
  expect(await source.hasBlob("app", digest)).toBe(false);
  expect(await source.blob("app", digest, 0)).toBeUndefined();
});

test("of a manifest that is too large no more is read than may be", async () => {
  const { source, digest } = await manifestAt("large", (file) => writeFile(file, Buffer.alloc(maxManifestBytes + 1)));
  const message = expect.stringContaining(`more than ${maxManifestBytes} bytes`) as string;
  await expect(source.manifest("app", digest)).rejects.toMatchObject({ code: "Unsupported", message });
});

test("a blob that becomes a pipe between the look and the read is named", async () => {
  const { source, digest } = await manifestAt("moving", (file) => writeFile(file, "x"));
  const hex = hexOf(digest);
  const found = await source.blob("app", digest, 0);
  const data = join(folder, "moving/blobs/sha256", hex.slice(0, 2), hex, "data");
  await rm(data);
  await pipe(data);
  await expect(found!.body[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "BrokenLink" });
});

async function bucketOf(answer: RequestListener): Promise<BucketTree> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  servers.push(server);
  return BucketTree.connect({
    bucket: "b",
    prefix: "",
    region: "us-east-1",
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    forcePathStyle: true,
    connections: 2,
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
  });
}

test("a bucket's service that says no length and never ends", async () => {
  let sent = 0;
  let last: ServerResponse | undefined;
  const tree = await bucketOf((_, response) => {
    last = response;
    const piece = Buffer.alloc(64 * 1024);
    response.on("error", () => {});
    const more = () => {
      if (response.destroyed) return;
      sent += piece.byteLength;
      if (response.write(piece)) setImmediate(more);
      else response.once("drain", more);
    };
    more();
  });
  await expect(tree.read("link", 1024)).rejects.toMatchObject({ code: "Unsupported" });
  // What was on its way is all there is to it.
  expect(sent).toBeLessThan(64 * 1024 * 1024);
  const blob = await tree.open("data", 0);
  expect(blob).toMatchObject({ start: 0, size: undefined });
  // Of a body that nobody began to read, too.
  const closed = once(last!, "close");
  blob!.discard();
  await closed;
  await tree.close();
});

test("a bucket's service that answers a range with the whole", async () => {
  const tree = await bucketOf((_, response) => response.writeHead(200, { "content-length": "10" }).end("0123456789"));
  const blob = await tree.open("data", 4);
  expect(blob).toMatchObject({ start: 0, size: 10 });
  blob!.discard();
  await tree.close();
});
