// Distribution spec, "Pull": manifests and blobs, with what real clients need of their headers.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { mediaTypes } from "../../src/domain/media-types.ts";
import { send } from "../support/http.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { digestOf, freshName, pushBlob, pushImage, randomBlob } from "./content.ts";

let registry: TestRegistry;
let url: string;
const name = freshName();
const blob = randomBlob(700_000);
let blobPath: string;
let image: { manifest: string; digest: string };

beforeAll(async () => {
  registry = await startTestRegistry();
  url = registry.url;
  blobPath = `/v2/${name}/blobs/${await pushBlob(url, name, blob)}`;
  image = await pushImage(url, name, "latest");
});
afterAll(() => registry.stop());

describe("the API version check", () => {
  test.each(["/v2/", "/v2"])("%s", async (path) => {
    const reply = await send(url, "GET", path);
    expect(reply.status).toBe(200);
    expect(reply.headers["docker-distribution-api-version"]).toBe("registry/2.0");
    expect(reply.headers["content-type"]).toBe("application/json");
    expect(reply.json()).toEqual({});
  });
});

describe("manifests", () => {
  test.each(["GET", "HEAD"])("%s by tag and by digest: exact bytes, exact type, length and digest", async (method) => {
    for (const reference of ["latest", image.digest]) {
      const reply = await send(url, method, `/v2/${name}/manifests/${reference}`);
      expect(reply.status).toBe(200);
      expect(reply.headers).toMatchObject({
        "content-type": mediaTypes.ociManifest,
        "content-length": String(Buffer.byteLength(image.manifest)),
        "docker-content-digest": image.digest,
        etag: `"${image.digest}"`,
        "cache-control": reference === "latest" ? "no-cache" : "max-age=31536000, immutable",
      });
      expect(reply.headers["content-encoding"]).toBeUndefined();
      expect(reply.body.toString()).toBe(method === "GET" ? image.manifest : "");
    }
  });

  test("a range is ignored: containerd asks for bytes=0- everywhere", async () => {
    const reply = await send(url, "GET", `/v2/${name}/manifests/latest`, { headers: { range: "bytes=0-" } });
    expect(reply.status).toBe(200);
    expect(reply.body.toString()).toBe(image.manifest);
  });

  test.each([
    [`"DIGEST"`, 304],
    [`W/"DIGEST"`, 304],
    [`"other", "DIGEST"`, 304],
    ["*", 304],
    [`"sha256:other"`, 200],
    ["DIGEST", 200],
  ])("If-None-Match %s: %i", async (header, status) => {
    const reply = await send(url, "GET", `/v2/${name}/manifests/latest`, {
      headers: { "if-none-match": header.replace("DIGEST", image.digest) },
    });
    expect(reply.status).toBe(status);
    expect(reply.headers.etag).toBe(`"${image.digest}"`);
    expect(reply.body.length > 0).toBe(status === 200);
  });

  test("what is not there is 404 with the code of what is missing", async () => {
    const missing = digestOf("missing");
    expect((await send(url, "GET", `/v2/${name}/manifests/nope`)).code()).toBe("MANIFEST_UNKNOWN");
    expect((await send(url, "GET", `/v2/${name}/manifests/${missing}`)).code()).toBe("MANIFEST_UNKNOWN");
    expect((await send(url, "GET", `/v2/${name}/blobs/${missing}`)).code()).toBe("BLOB_UNKNOWN");
    expect((await send(url, "GET", "/v2/nobody/manifests/latest")).code()).toBe("NAME_UNKNOWN");
    const head = await send(url, "HEAD", `/v2/${name}/manifests/nope`);
    expect(head.status).toBe(404);
    expect(head.body.length).toBe(0);
  });
});

describe("blobs", () => {
  test("GET and HEAD agree", async () => {
    const get = await send(url, "GET", blobPath);
    const head = await send(url, "HEAD", blobPath);
    expect(get.status).toBe(200);
    expect(get.body.equals(blob)).toBe(true);
    for (const { headers } of [get, head]) {
      expect(headers).toMatchObject({
        "content-type": "application/octet-stream",
        "content-length": "700000",
        "accept-ranges": "bytes",
        "docker-content-digest": digestOf(blob),
        etag: `"${digestOf(blob)}"`,
        "cache-control": "max-age=31536000, immutable",
      });
    }
    expect(head.body.length).toBe(0);
  });

  test.each([
    ["bytes=0-99", 0, 99],
    ["bytes=699999-", 699_999, 699_999],
    ["bytes=262143-262144", 262_143, 262_144],
    ["bytes=-1000", 699_000, 699_999],
    ["bytes=-9999999", 0, 699_999],
    ["bytes=5-9999999", 5, 699_999],
    ["bytes=0-", 0, 699_999],
  ])("%s", async (range, start, end) => {
    const reply = await send(url, "GET", blobPath, { headers: { range } });
    expect(reply.status).toBe(206);
    expect(reply.headers["content-range"]).toBe(`bytes ${start}-${end}/700000`);
    expect(reply.headers["content-length"]).toBe(String(end - start + 1));
    expect(reply.body.equals(blob.subarray(start, end + 1))).toBe(true);
  });

  test.each(["bytes=700000-", "bytes=9999999-10000000", "bytes=-0", "bytes=500-0"])("%s is 416 with the size", async (range) => {
    const reply = await send(url, "GET", blobPath, { headers: { range } });
    expect(reply.status).toBe(416);
    expect(reply.headers["content-range"]).toBe("bytes */700000");
    expect(reply.code()).toBe("RANGE_INVALID");
  });

  test.each(["bytes=0-1,5-9", "bytes=x", "lines=1-2"])("%s gets the whole", async (range) => {
    const reply = await send(url, "GET", blobPath, { headers: { range } });
    expect(reply.status).toBe(200);
    expect(reply.body.length).toBe(700_000);
  });

  test("If-Range decides whether the range counts", async () => {
    const ask = (ifRange: string) => send(url, "GET", blobPath, { headers: { range: "bytes=0-0", "if-range": ifRange } });
    expect((await ask(`"${digestOf(blob)}"`)).status).toBe(206);
    expect((await ask('"other"')).status).toBe(200);
    expect((await ask("Sat, 01 Jan 2028 00:00:00 GMT")).status).toBe(200);
  });

  test("an empty blob is a blob", async () => {
    const digest = await pushBlob(url, name, "");
    const reply = await send(url, "GET", `/v2/${name}/blobs/${digest}`, { headers: { range: "bytes=0-" } });
    expect(reply.status).toBe(200);
    expect(reply.headers["content-length"]).toBe("0");
  });

  test("a blob is read only through a repository that has it", async () => {
    const other = freshName();
    await pushImage(url, other, "x");
    expect((await send(url, "GET", `/v2/${other}/blobs/${digestOf(blob)}`)).code()).toBe("BLOB_UNKNOWN");
  });
});
