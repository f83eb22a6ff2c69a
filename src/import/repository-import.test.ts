// How often the registry is asked: over a slow line twenty thousand small images are twenty thousand times so many waits.

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";

import { digestOf, type Digest } from "../domain/digest.ts";
import { mediaTypes } from "../domain/media-types.ts";
import { importRegistry } from "./import.ts";
import type { ImportSource, SourceManifest } from "./import-source.ts";
import { ImportReport } from "./report.ts";

const tags = ["a", "b", "c"];

function manifestOf(tag: string): SourceManifest {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(tag), size: 1 };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] }));
  return { digest: digestOf(bytes), mediaType: mediaTypes.ociManifest, bytes };
}

const manifests = new Map(tags.map((tag) => [tag, manifestOf(tag)]));
const nameOf = (reference: string) => tags.find((tag) => manifests.get(tag)?.digest === reference) ?? "";
const source: ImportSource = {
  name: "test",
  async *repositories() {
    yield "app";
  },
  tags: async () => tags,
  resolve: async (_, tag) => manifests.get(tag)?.digest,
  manifest: async (_, digest) => manifests.get(nameOf(digest)),
  referrers: async () => [],
  manifests: async () => [],
  hasBlob: async () => true,
  blob: async () => undefined,
  close: async () => {},
};

/** Tags and digests that the registry has. It has every blob, unless it lost it. */
let here: Map<string, Digest>;
/** Manifests that lost a blob. */
let damaged: Set<Digest>;
let asked: string[];
let server: Server;

beforeEach(async () => {
  here = new Map();
  damaged = new Set();
  asked = [];
  server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? "", "http://registry");
    const reference = pathname.split("/").at(-1) ?? "";
    const isManifest = pathname.includes("/manifests/");
    const digest = here.get(reference);
    const shown = isManifest ? (reference.includes(":") ? `digest of ${nameOf(reference)}` : reference) : "blobs";
    asked.push(`${request.method} ${shown}`);
    if (request.method === "PUT") here.set(reference, manifests.get(reference)?.digest ?? (reference as Digest));
    request.resume().on("end", () => {
      if (isManifest && request.method === "HEAD" && digest === undefined) response.writeHead(404);
      else if (isManifest && request.method === "HEAD")
        response.writeHead(200, {
          "docker-content-digest": digest,
          "content-type": mediaTypes.ociManifest,
          ...(digest !== undefined && damaged.has(digest) ? { "wharfinger-lost-blobs": 1 } : {}),
        });
      else if (isManifest && request.method === "GET") {
        response.writeHead(200, { "content-type": mediaTypes.ociManifest });
        response.write(manifests.get(nameOf(digest ?? ""))?.bytes);
      } else if (request.method === "POST" && search === "") response.writeHead(202, { location: "/v2/app/blobs/uploads/1" });
      else response.writeHead(201);
      response.end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => server.close().closeAllConnections());

async function imported() {
  const { tags: counts } = await importRegistry({
    source,
    target: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
    names: { repositories: [], prefix: "", renames: [] },
    concurrency: 1,
    overwriteTags: false,
    untagged: false,
    dryRun: false,
    report: new ImportReport(),
  });
  return { counts, asked: asked.splice(0) };
}

const probe = ["POST blobs", "DELETE blobs"];

test("for an image that is new: its manifest, each blob, and its tag; again, one question a tag", async () => {
  const image = (tag: string) => [`HEAD digest of ${tag}`, "POST blobs", `PUT digest of ${tag}`, `HEAD ${tag}`, `PUT ${tag}`];
  const first = await imported();
  expect(first.counts.created).toBe(3);
  // Whether the repository is new is found out with the first tag.
  expect(first.asked).toEqual([...probe, "HEAD a", ...image("a"), ...image("b"), ...image("c")]);
  const again = await imported();
  expect(again.counts.unchanged).toBe(3);
  expect(again.asked).toEqual([...probe, "HEAD a", "HEAD b", "HEAD c"]);
});

test.each(["its tag is here", "its tag is not"])(
  "of an image that is here and lost a blob the blobs are asked for, and no other's: %s",
  async (which) => {
    await imported();
    damaged.add(manifests.get("b")!.digest);
    const tagged = which === "its tag is here";
    if (!tagged) here.delete("b");
    const { counts, asked: questions } = await imported();
    expect(counts).toMatchObject(tagged ? { unchanged: 3 } : { unchanged: 2, created: 1 });
    const mended = tagged ? [] : ["HEAD digest of b"];
    const pointed = tagged ? ["HEAD c"] : ["HEAD b", "PUT b", "HEAD digest of c", "HEAD c"];
    expect(questions).toEqual([...probe, "HEAD a", "HEAD b", ...mended, "GET digest of b", "POST blobs", ...pointed]);
  },
);

test("a tag that somebody pushes while its image is sent stays his", async () => {
  const theirs = digestOf("theirs");
  server.on("request", ({ method, url }: { method?: string; url?: string }) => {
    if (method === "PUT" && url?.endsWith(manifests.get("a")!.digest) === true) here.set("a", theirs);
  });
  const { counts } = await imported();
  expect([counts.left, counts.created, here.get("a")]).toEqual([1, 2, theirs]);
});
