// Distribution spec, "Push": every way in which a blob may arrive, mounts, manifests and their tags.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { mediaTypes } from "../../src/domain/media-types.ts";
import { send, type Reply } from "../support/http.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { digestOf, freshName, imageManifest, pushBlob, pushImage, putManifest, randomBlob } from "./content.ts";

let registry: TestRegistry;
let url: string;

beforeAll(async () => {
  registry = await startTestRegistry();
  url = registry.url;
});
afterAll(() => registry.stop());

async function begin(name: string, query = ""): Promise<string> {
  const reply = await send(url, "POST", `/v2/${name}/blobs/uploads/${query}`);
  expect(reply.status).toBe(202);
  expect(reply.headers.location).toMatch(new RegExp(`^/v2/${name}/blobs/uploads/[0-9a-f-]{36}$`));
  expect(reply.headers.location?.endsWith(String(reply.headers["docker-upload-uuid"]))).toBe(true);
  expect(reply.headers.range).toBe("0-0");
  return reply.headers.location ?? "";
}

const patch = (location: string, body: Uint8Array | string, headers: Record<string, string> = {}) =>
  send(url, "PATCH", location, { body, headers });

function expectCreated(reply: Reply, name: string, digest: string): void {
  expect(reply.status).toBe(201);
  expect(reply.headers.location).toBe(`/v2/${name}/blobs/${digest}`);
  expect(reply.headers["docker-content-digest"]).toBe(digest);
}

describe("blobs", () => {
  const blob = randomBlob(200_000);
  const digest = digestOf(blob);

  test("POST, then PUT", async () => {
    const name = freshName();
    expectCreated(await send(url, "PUT", `${await begin(name)}?digest=${digest}`, { body: blob }), name, digest);
    expect((await send(url, "GET", `/v2/${name}/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });

  test("one POST", async () => {
    const name = freshName();
    expectCreated(await send(url, "POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: blob }), name, digest);
    expect((await send(url, "HEAD", `/v2/${name}/blobs/${digest}`)).headers["content-length"]).toBe("200000");
  });

  test("one streamed PATCH without a length, then an empty PUT", async () => {
    const name = freshName();
    const location = await begin(name);
    const reply = await patch(location, blob, { "transfer-encoding": "chunked" });
    expect(reply.status).toBe(202);
    expect(reply.headers.range).toBe("0-199999");
    expectCreated(await send(url, "PUT", `${reply.headers.location}?digest=${digest}`, { body: "" }), name, digest);
  });

  test("chunks in order, the last one with the PUT", async () => {
    const name = freshName();
    const location = await begin(name);
    const first = await patch(location, blob.subarray(0, 100_000), { "content-range": "0-99999" });
    expect([first.status, first.headers.range]).toEqual([202, "0-99999"]);
    const second = await patch(location, blob.subarray(100_000, 150_000), { "content-range": "100000-149999" });
    expect([second.status, second.headers.range]).toEqual([202, "0-149999"]);
    const status = await send(url, "GET", location);
    expect([status.status, status.headers.range, status.headers.location]).toEqual([204, "0-149999", location]);
    const last = await send(url, "PUT", `${location}?digest=${digest}`, {
      body: blob.subarray(150_000),
      headers: { "content-range": "150000-199999" },
    });
    expectCreated(last, name, digest);
  });

  test.each([
    ["a gap", "200-299"],
    ["an overlap", "50-149"],
    ["the same again", "0-99"],
  ])("%s is 416 and says where to go on; nothing was taken", async (_, range) => {
    const name = freshName();
    const location = await begin(name);
    await patch(location, blob.subarray(0, 100), { "content-range": "0-99" });
    for (const method of ["PATCH", "PUT"]) {
      const reply = await send(url, method, `${location}?digest=${digest}`, {
        body: blob.subarray(0, 100),
        headers: { "content-range": range },
      });
      expect(reply.status).toBe(416);
      expect(reply.code()).toBe("RANGE_INVALID");
      expect([reply.headers.range, reply.headers.location]).toEqual(["0-99", location]);
    }
    expectCreated(await send(url, "PUT", `${location}?digest=${digest}`, { body: blob.subarray(100) }), name, digest);
  });

  test.each([
    ["5-4", 400, "BLOB_UPLOAD_INVALID"],
    ["bytes 0-4/10", 400, "BLOB_UPLOAD_INVALID"],
    ["0-99999999999999999999", 400, "BLOB_UPLOAD_INVALID"],
    ["0-9", 400, "SIZE_INVALID"],
  ])("Content-Range %s with five bytes: %i %s", async (range, status, code) => {
    const location = await begin(freshName());
    const reply = await patch(location, "12345", { "content-range": range });
    expect([reply.status, reply.code()]).toEqual([status, code]);
    expect((await send(url, "GET", location)).headers.range).toBe("0-0");
  });

  test("bytes that are not what the digest says are refused and not there", async () => {
    const name = freshName();
    const wrong = digestOf("something else");
    const reply = await send(url, "PUT", `${await begin(name)}?digest=${wrong}`, { body: blob });
    expect([reply.status, reply.code()]).toEqual([400, "DIGEST_INVALID"]);
    const single = await send(url, "POST", `/v2/${name}/blobs/uploads/?digest=${wrong}`, { body: blob });
    expect([single.status, single.code()]).toEqual([400, "DIGEST_INVALID"]);
    expect((await send(url, "HEAD", `/v2/${name}/blobs/${wrong}`)).status).toBe(404);
    expect((await send(url, "HEAD", `/v2/${name}/blobs/${digest}`)).status).toBe(404);
  });

  test.each(["", "?digest=", "?digest=sha256:abc", `?digest=md5:${"a".repeat(32)}`])("PUT %s is no digest", async (query) => {
    const reply = await send(url, "PUT", `${await begin(freshName())}${query}`, { body: blob });
    expect([reply.status, reply.code()]).toEqual([400, "DIGEST_INVALID"]);
  });

  test("sha512", async () => {
    const name = freshName();
    const long = digestOf(blob, "sha512");
    expectCreated(await send(url, "PUT", `${await begin(name, "?digest-algorithm=sha512")}?digest=${long}`, { body: blob }), name, long);
    expect((await send(url, "GET", `/v2/${name}/blobs/${long}`)).body.equals(blob)).toBe(true);
    const refused = await send(url, "POST", `/v2/${name}/blobs/uploads/?digest-algorithm=md5`);
    expect([refused.status, refused.code()]).toEqual([400, "DIGEST_INVALID"]);
  });

  test("a cancelled upload is gone", async () => {
    const location = await begin(freshName());
    await patch(location, blob);
    expect((await send(url, "DELETE", location)).status).toBe(204);
    for (const [method, path] of [
      ["GET", location],
      ["PATCH", location],
      ["PUT", `${location}?digest=${digest}`],
      ["DELETE", location],
    ] as const) {
      const reply = await send(url, method, path, method === "GET" ? {} : { body: "" });
      expect([method, reply.status, reply.code()]).toEqual([method, 404, "BLOB_UPLOAD_UNKNOWN"]);
    }
  });

  test("a session belongs to its repository", async () => {
    const location = await begin(freshName());
    const other = location.replace(/^\/v2\/.*?\/blobs/, `/v2/${freshName()}/blobs`);
    expect((await patch(other, blob)).code()).toBe("BLOB_UPLOAD_UNKNOWN");
  });

  test("a compressed request body is not taken", async () => {
    const reply = await send(url, "PUT", `${await begin(freshName())}?digest=${digest}`, {
      body: blob,
      headers: { "content-encoding": "gzip" },
    });
    expect([reply.status, reply.code()]).toEqual([415, "UNSUPPORTED"]);
  });
});

describe("mounts", () => {
  test("from a repository, from anywhere, and not from where it is not", async () => {
    const source = freshName();
    const digest = await pushBlob(url, source, randomBlob(1000));
    const target = freshName();
    expectCreated(await send(url, "POST", `/v2/${target}/blobs/uploads/?mount=${digest}&from=${source}`), target, digest);
    const anywhere = freshName();
    expectCreated(await send(url, "POST", `/v2/${anywhere}/blobs/uploads/?mount=${digest}`), anywhere, digest);
    for (const from of ["nobody/here", "Not/A/Name", "../x"]) {
      const reply = await send(url, "POST", `/v2/${freshName()}/blobs/uploads/?mount=${digest}&from=${from}`);
      expect([from, reply.status]).toEqual([from, 202]);
      expect((await send(url, "DELETE", String(reply.headers.location))).status).toBe(204);
    }
    const bad = await send(url, "POST", `/v2/${target}/blobs/uploads/?mount=latest&from=${source}`);
    expect([bad.status, bad.code()]).toEqual([400, "DIGEST_INVALID"]);
  });
});

describe("manifests", () => {
  test("by tag and by digest, byte for byte", async () => {
    const name = freshName();
    const config = await pushBlob(url, name, "{}");
    const manifest = `  ${imageManifest({ config, layers: [] })}\n`;
    const digest = digestOf(manifest);
    for (const reference of ["v1", digest]) {
      const reply = await putManifest(url, name, reference, manifest);
      expect([reply.status, reply.headers.location, reply.headers["docker-content-digest"]]).toEqual([
        201,
        `/v2/${name}/manifests/${digest}`,
        digest,
      ]);
      expect((await send(url, "GET", `/v2/${name}/manifests/${reference}`)).body.toString()).toBe(manifest);
    }
  });

  test("by digest with tags", async () => {
    const name = freshName();
    const { manifest, digest } = await pushImage(url, name, "first");
    const reply = await putManifest(url, name, `${digest}?tag=1.2.3&tag=1.2&tag=1.2`, manifest);
    expect([reply.status, reply.headers["oci-tag"]]).toEqual([201, "1.2.3, 1.2"]);
    expect((await send(url, "HEAD", `/v2/${name}/manifests/1.2`)).headers["docker-content-digest"]).toBe(digest);
    const bad = await putManifest(url, name, `${digest}?tag=good&tag=.bad`, manifest);
    expect([bad.status, bad.code()]).toEqual([400, "MANIFEST_INVALID"]);
    expect((await send(url, "HEAD", `/v2/${name}/manifests/good`)).status).toBe(404);
  });

  test("with a subject that does not exist yet", async () => {
    const name = freshName();
    const subject = digestOf("not yet");
    const config = await pushBlob(url, name, "{}");
    const reply = await putManifest(url, name, "signature", imageManifest({ config, layers: [], subject }));
    expect([reply.status, reply.headers["oci-subject"]]).toEqual([201, subject]);
  });

  test("with layers that are missing", async () => {
    const name = freshName();
    const missing = digestOf("missing layer");
    const config = await pushBlob(url, name, "{}");
    const reply = await putManifest(url, name, "v1", imageManifest({ config, layers: [missing] }));
    expect([reply.status, reply.code()]).toEqual([404, "MANIFEST_BLOB_UNKNOWN"]);
    expect(reply.body.toString()).toContain(missing);
    expect((await send(url, "HEAD", `/v2/${name}/manifests/v1`)).status).toBe(404);
  });

  test("at the limit of 4 MiB, and one byte above it", async () => {
    const name = freshName();
    const config = await pushBlob(url, name, "{}");
    const bare = imageManifest({ config, layers: [], annotations: { padding: "" } }).length;
    const sized = (size: number) => imageManifest({ config, layers: [], annotations: { padding: "x".repeat(size - bare) } });
    const limit = 4 * 1024 * 1024;
    expect((await putManifest(url, name, "largest", sized(limit))).status).toBe(201);
    const reply = await putManifest(url, name, "larger", sized(limit + 1));
    expect([reply.status, reply.code()]).toEqual([413, "SIZE_INVALID"]);
    const chunked = await send(url, "PUT", `/v2/${name}/manifests/larger`, {
      headers: { "content-type": mediaTypes.ociManifest, "transfer-encoding": "chunked" },
      body: sized(limit + 1),
    });
    expect([chunked.status, chunked.code()]).toEqual([413, "SIZE_INVALID"]);
  });

  test.each([
    ["no JSON", "{", mediaTypes.ociManifest],
    ["nothing", "", mediaTypes.ociManifest],
    ["another type of JSON", "[]", mediaTypes.ociManifest],
    ["a number", "1", mediaTypes.ociManifest],
    ["no layers", '{"schemaVersion":2}', mediaTypes.ociManifest],
    ["schema 1", '{"schemaVersion":1,"name":"x","tag":"y"}', mediaTypes.dockerSchema1],
    ["a type that is no manifest", "{}", "text/plain"],
    [
      "digests that are none",
      JSON.stringify({ schemaVersion: 2, config: { mediaType: "a/b", digest: "x", size: 1 }, layers: [] }),
      mediaTypes.ociManifest,
    ],
    ["no UTF-8", "\u00ff\u00fe", mediaTypes.ociManifest],
  ])("%s is MANIFEST_INVALID", async (_, body, mediaType) => {
    const reply = await putManifest(url, freshName(), "v1", body, mediaType);
    expect([reply.status, reply.code()]).toEqual([400, "MANIFEST_INVALID"]);
  });

  test("under a digest that is another one", async () => {
    const name = freshName();
    const config = await pushBlob(url, name, "{}");
    const reply = await putManifest(url, name, digestOf("other"), imageManifest({ config, layers: [] }));
    expect([reply.status, reply.code()]).toEqual([400, "DIGEST_INVALID"]);
  });
});
