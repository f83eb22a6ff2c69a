// Distribution spec, "Content Discovery" and "Content Management": tags, catalog, referrers, deletes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { mediaTypes } from "../../src/domain/media-types.ts";
import { send, type Reply } from "../support/http.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { digestOf, freshName, imageManifest, pushBlob, pushImage, putManifest } from "./content.ts";

let registry: TestRegistry;
let url: string;

beforeAll(async () => {
  registry = await startTestRegistry();
  url = registry.url;
});
afterAll(() => registry.stop());

/** Follows Link from page to page; resolves with the answers. */
async function replies(path: string): Promise<Reply[]> {
  const found: Reply[] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    const reply = await send(url, "GET", next);
    expect(reply.status).toBe(200);
    found.push(reply);
    next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(String(reply.headers.link ?? ""))?.[1];
  }
  return found;
}

async function pages(path: string, key: "tags" | "repositories"): Promise<string[][]> {
  return (await replies(path)).map((reply) => (reply.json() as Record<typeof key, string[]>)[key]);
}

describe("tags", () => {
  const name = freshName();
  const tags = ["1.0", "1.10", "1.9", "A", "Z", "_x", "a", "latest", "v1"];

  beforeAll(async () => {
    const { manifest } = await pushImage(url, name, "latest");
    for (const tag of tags) await putManifest(url, name, tag, manifest);
  });

  test("are sorted bytewise", async () => {
    expect((await send(url, "GET", `/v2/${name}/tags/list`)).json()).toEqual({ name, tags });
  });

  test("come in pages, linked relatively", async () => {
    expect(await pages(`/v2/${name}/tags/list?n=4`, "tags")).toEqual([tags.slice(0, 4), tags.slice(4, 8), tags.slice(8)]);
    expect(await pages(`/v2/${name}/tags/list?n=9`, "tags")).toEqual([tags]);
    expect(await pages(`/v2/${name}/tags/list?n=99999`, "tags")).toEqual([tags]);
    expect(await pages(`/v2/${name}/tags/list?n=2&last=a`, "tags")).toEqual([["latest", "v1"]]);
    expect(await pages(`/v2/${name}/tags/list?last=zzz`, "tags")).toEqual([[]]);
  });

  test("n=0 is nothing, without a Link", async () => {
    const reply = await send(url, "GET", `/v2/${name}/tags/list?n=0`);
    expect(reply.json()).toEqual({ name, tags: [] });
    expect(reply.headers.link).toBeUndefined();
  });

  test.each(["n=-1", "n=x", "n=1.5", "n=", "n=99999999999", `last=${"x".repeat(300)}`, "last=%00"])("%s is refused", async (query) => {
    const reply = await send(url, "GET", `/v2/${name}/tags/list?${query}`);
    expect([reply.status, reply.code()]).toEqual([400, "PAGINATION_NUMBER_INVALID"]);
  });

  test("of an unknown repository are 404, also for n=0", async () => {
    for (const query of ["", "?n=0"]) expect((await send(url, "GET", `/v2/nobody/tags/list${query}`)).code()).toBe("NAME_UNKNOWN");
  });
});

describe("the catalog", () => {
  test("has what was pushed, in pages", async () => {
    const names = ["catalog/a", "catalog/b", "catalog/b/c", "catalog/z"];
    for (const name of names) await pushImage(url, name, "x");
    const all = (await pages("/v2/_catalog?n=2", "repositories")).flat();
    expect(all).toEqual([...all].sort());
    expect(all.filter((name) => name.startsWith("catalog/"))).toEqual(names);
    const after = await pages("/v2/_catalog?n=1&last=catalog/b", "repositories");
    expect(after.slice(0, 2)).toEqual([["catalog/b/c"], ["catalog/z"]]);
    expect((await send(url, "GET", "/v2/_catalog?n=0")).json()).toEqual({ repositories: [] });
  });
});

describe("referrers", () => {
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex };

  test("list what names the subject, filtered by artifactType, and are never 404", async () => {
    const name = freshName();
    const { digest: subject } = await pushImage(url, name, "image");
    const config = await pushBlob(url, name, "{}");
    const sbom = imageManifest({ config, layers: [], subject, artifactType: "application/spdx+json", annotations: { made: "today" } });
    const signature = imageManifest({ config, layers: [], subject });
    for (const manifest of [sbom, signature]) await putManifest(url, name, digestOf(manifest), manifest);
    const descriptor = (manifest: string, artifactType: string) => ({
      mediaType: mediaTypes.ociManifest,
      digest: digestOf(manifest),
      size: manifest.length,
      artifactType,
    });
    const listed = [
      { ...descriptor(sbom, "application/spdx+json"), annotations: { made: "today" } },
      descriptor(signature, "application/vnd.oci.image.config.v1+json"),
    ];

    const all = await send(url, "GET", `/v2/${name}/referrers/${subject}`);
    expect(all.headers["content-type"]).toBe(mediaTypes.ociIndex);
    expect(all.headers["oci-filters-applied"]).toBeUndefined();
    const { manifests, ...rest } = all.json() as { manifests: { digest: string }[] };
    expect(rest).toEqual(index);
    expect(new Set(manifests)).toEqual(new Set(listed));
    expect(manifests).toHaveLength(2);

    const some = await send(url, "GET", `/v2/${name}/referrers/${subject}?artifactType=application%2Fspdx%2Bjson`);
    expect(some.headers["oci-filters-applied"]).toBe("artifactType");
    expect(some.json()).toEqual({ ...index, manifests: [listed[0]] });

    for (const path of [`/v2/${name}/referrers/${digestOf("x")}`, `/v2/nobody/here/referrers/${digestOf("x")}`]) {
      const none = await send(url, "GET", path);
      expect([none.status, none.json()]).toEqual([200, { ...index, manifests: [] }]);
    }
    expect((await send(url, "GET", `/v2/${name}/referrers/image`)).code()).toBe("DIGEST_INVALID");
  });

  test("come in pages of at most 4 MiB, linked relatively with what was asked for", async () => {
    const name = freshName();
    const { digest: subject } = await pushImage(url, name, "image");
    const config = await pushBlob(url, name, "{}");
    const pushed = new Map<string, string>();
    for (let n = 0; n < 140; n++) {
      const artifactType = n % 2 === 0 ? "application/even+json" : "application/odd";
      const manifest = imageManifest({ config, layers: [], subject, artifactType, annotations: { n: `${n} ${"x".repeat(65_000)}` } });
      await putManifest(url, name, digestOf(manifest), manifest);
      pushed.set(digestOf(manifest), artifactType);
    }
    const listed = (found: readonly Reply[]) =>
      found.flatMap((reply) => (reply.json() as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest));

    const all = await replies(`/v2/${name}/referrers/${subject}`);
    expect(listed(all)).toEqual([...pushed.keys()].sort());
    expect(all).toHaveLength(3);
    for (const reply of all) {
      expect(reply.body.byteLength).toBeLessThanOrEqual(4 * 1024 * 1024);
      expect(reply.json()).toMatchObject(index);
    }

    const even = await replies(`/v2/${name}/referrers/${subject}?artifactType=application%2Feven%2Bjson`);
    expect(listed(even)).toEqual([...pushed].flatMap(([digest, type]) => (type === "application/even+json" ? [digest] : [])).sort());
    expect(even.map(({ headers }) => headers["oci-filters-applied"])).toEqual(["artifactType", "artifactType"]);
    expect(even[0]?.headers.link).toBe(
      `</v2/${name}/referrers/${subject}?last=${encodeURIComponent(listed(even.slice(0, 1)).at(-1) ?? "")}&artifactType=application%2Feven%2Bjson>; rel="next"`,
    );
  });

  test.each(["last=image", "last=sha256:1", "last=%00"])("%s is refused", async (query) => {
    const reply = await send(url, "GET", `/v2/nobody/here/referrers/${digestOf("x")}?${query}`);
    expect([reply.status, reply.code()]).toEqual([400, "PAGINATION_NUMBER_INVALID"]);
  });

  test("of a type that no manifest can have are none", async () => {
    const name = freshName();
    const { digest: subject } = await pushImage(url, name, "image");
    for (const type of ["", "%00", "x".repeat(5000)]) {
      const reply = await send(url, "GET", `/v2/${name}/referrers/${subject}?artifactType=${type}`);
      expect([reply.status, reply.json()]).toEqual([200, { ...index, manifests: [] }]);
    }
  });
});

describe("deletes", () => {
  test("a tag goes alone, a manifest with its tags, a blob that nobody holds", async () => {
    const name = freshName();
    const { manifest, digest } = await pushImage(url, name, "a");
    await putManifest(url, name, "b", manifest);
    const del = (path: string) => send(url, "DELETE", `/v2/${name}/${path}`);
    const has = async (reference: string) => (await send(url, "HEAD", `/v2/${name}/manifests/${reference}`)).status === 200;

    const held = await del(`blobs/${digestOf("{}")}`);
    expect([held.status, held.code()]).toEqual([405, "UNSUPPORTED"]);
    expect(held.body.toString()).toContain(digest);

    expect((await del("manifests/a")).status).toBe(202);
    expect([await has("a"), await has("b"), await has(digest)]).toEqual([false, true, true]);
    expect((await del("manifests/a")).code()).toBe("MANIFEST_UNKNOWN");
    expect((await del(`manifests/${digest}`)).status).toBe(202);
    expect([await has("b"), await has(digest)]).toEqual([false, false]);
    expect((await del(`manifests/${digest}`)).status).toBe(404);
    expect((await del(`blobs/${digestOf("{}")}`)).status).toBe(202);
    expect((await send(url, "HEAD", `/v2/${name}/blobs/${digestOf("{}")}`)).status).toBe(404);
    expect((await del(`blobs/${digestOf("{}")}`)).code()).toBe("BLOB_UNKNOWN");
  });
});
