import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { digestOf } from "./digest.ts";
import { blobsOf, childrenOf, ManifestError, maxDescriptors, parseManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";

const descriptor = (content: string, mediaType = "application/vnd.oci.image.layer.v1.tar", more: object = {}) => ({
  mediaType,
  digest: digestOf(content),
  size: content.length,
  ...more,
});
const config = descriptor("{}", "application/vnd.oci.image.config.v1+json");
const image = (more: object = {}) => ({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [descriptor("a")], ...more });
const index = (more: object = {}) => ({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], ...more });
const parse = (document: unknown, contentType?: string) => parseManifest(Buffer.from(JSON.stringify(document)), contentType);

describe("what is understood", () => {
  test("an image: config and layers are blobs it needs", () => {
    const manifest = parse(image(), mediaTypes.ociManifest);
    expect(manifest).toMatchObject({ kind: "image", mediaType: mediaTypes.ociManifest });
    expect(blobsOf(manifest).map(({ digest, required }) => [digest, required])).toEqual([
      [digestOf("{}"), true],
      [digestOf("a"), true],
    ]);
    expect(childrenOf(manifest)).toEqual([]);
  });

  test("a blob that is named twice is one blob", () => {
    const empty = descriptor("{}", mediaTypes.ociEmpty);
    expect(blobsOf(parse(image({ config: empty, layers: [empty, descriptor("a"), descriptor("a")] }))).map(({ digest }) => digest)).toEqual(
      [digestOf("{}"), digestOf("a")],
    );
  });

  test("Docker's types", () => {
    expect(parse({ ...image(), mediaType: mediaTypes.dockerManifest }, mediaTypes.dockerManifest).kind).toBe("image");
    expect(parse({ ...index(), mediaType: mediaTypes.dockerManifestList }, mediaTypes.dockerManifestList).kind).toBe("index");
  });

  test("a Content-Type with parameters, in odd case", () => {
    expect(parse(image(), "Application/vnd.OCI.image.manifest.v1+json; charset=utf-8").mediaType).toBe(mediaTypes.ociManifest);
  });

  test("no Content-Type: the document decides; no mediaType: the Content-Type does", () => {
    expect(parse(image()).mediaType).toBe(mediaTypes.ociManifest);
    expect(parse({ ...image(), mediaType: undefined }, mediaTypes.ociManifest).mediaType).toBe(mediaTypes.ociManifest);
  });

  test("layers that need not be here", () => {
    const layers = [
      descriptor("a", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
      descriptor("b", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
      descriptor("c"),
    ];
    expect(blobsOf(parse(image({ layers }))).map(({ required }) => required)).toEqual([true, false, false, true]);
  });

  test("an index: manifests are children, anything else (BuildKit's cache) is a blob", () => {
    const child = descriptor("child", mediaTypes.ociManifest, { platform: { os: "linux", architecture: "arm64" } });
    const cache = descriptor("cache", "application/vnd.buildkit.cacheconfig.v0");
    const manifest = parse(index({ manifests: [child, cache, child] }));
    expect(childrenOf(manifest)).toMatchObject([{ digest: digestOf("child"), platform: { os: "linux", architecture: "arm64" } }]);
    expect(blobsOf(manifest)).toMatchObject([{ digest: digestOf("cache"), required: false }]);
  });

  test("the artifact type of the referrers API falls back to the config's media type, for images alone", () => {
    expect(parse(image()).artifactType).toBe(config.mediaType);
    expect(parse(image({ artifactType: "application/x" })).artifactType).toBe("application/x");
    expect(parse(index()).artifactType).toBeUndefined();
    expect(parse(index({ artifactType: "application/x" })).artifactType).toBe("application/x");
  });

  test("subject, annotations, data, unknown fields", () => {
    const subject = descriptor("subject", mediaTypes.ociManifest);
    const layers = [descriptor("data", "text/plain", { data: Buffer.from("data").toString("base64"), "x-more": [1] })];
    const manifest = parse(image({ subject, layers, annotations: { a: "\u0000é" }, "x-unknown": { deep: [] } }));
    expect(manifest.subject?.digest).toBe(digestOf("subject"));
    expect(manifest.annotations).toEqual({ a: "\u0000é" });
  });
});

describe("what is refused, and what it says", () => {
  const deep = `${"[".repeat(40)}${"]".repeat(40)}`;
  test.each<[string, string | object, string | undefined, string]>([
    ["no JSON", "{", undefined, "not JSON"],
    ["not an object", "[]", undefined, "must be an object"],
    ["too deep", `{"schemaVersion":2,"x":${deep}}`, undefined, "nested deeper than 32 levels"],
    ["of more values than anybody needs", `{"schemaVersion":2,"x":[${"1,".repeat(50_000)}1]}`, undefined, "more than 50000 values"],
    ["no type at all", { ...image(), mediaType: undefined }, undefined, "needs a Content-Type"],
    ["another version", { ...image(), schemaVersion: 3 }, undefined, "`schemaVersion` must be 2"],
    ["schema 1 by its header", image(), mediaTypes.dockerSchema1Signed, "schema 1"],
    ["schema 1 by its body", { ...image(), schemaVersion: 1 }, mediaTypes.ociManifest, "schema 1"],
    ["an unknown type", { ...image(), mediaType: "text/html" }, "text/html", "not stored here"],
    ["header and body that differ", image(), mediaTypes.dockerManifest, "They must be equal"],
    ["Docker without mediaType", { ...image(), mediaType: undefined }, mediaTypes.dockerManifest, "must say its `mediaType`"],
    ["an image with manifests", image({ manifests: [] }), undefined, "two things at once"],
    ["an index with layers", index({ layers: [] }), undefined, "two things at once"],
    ["an index with config", index({ config }), undefined, "two things at once"],
    ["an image with fsLayers", image({ fsLayers: [] }), undefined, "two things at once"],
    ["no config", image({ config: undefined }), undefined, "`config` must be an object"],
    ["no layers", image({ layers: undefined }), undefined, "`layers` must be a list"],
    ["no manifests", index({ manifests: undefined }), undefined, "`manifests` must be a list"],
    ["too many layers", image({ layers: Array(maxDescriptors + 1).fill(descriptor("a")) }), undefined, "at most 1000"],
    [
      "a digest in upper case",
      image({ layers: [{ ...descriptor("a"), digest: digestOf("a").toUpperCase() }] }),
      undefined,
      "`layers[0].digest`",
    ],
    ["an unknown algorithm", image({ layers: [{ ...descriptor("a"), digest: "md5:00" }] }), undefined, "`layers[0].digest`"],
    ["a size below zero", image({ layers: [{ ...descriptor("a"), size: -1 }] }), undefined, "`layers[0].size`"],
    [
      "a size beyond 2^53",
      `{"schemaVersion":2,"config":{"mediaType":"a","digest":"${digestOf("a")}","size":9007199254740993}}`,
      mediaTypes.ociManifest,
      "`config.size`",
    ],
    ["a size as text", image({ config: { ...config, size: "2" } }), undefined, "`config.size`"],
    ["no media type", image({ layers: [{ ...descriptor("a"), mediaType: undefined }] }), undefined, "`layers[0].mediaType`"],
    ["data that is something else", image({ layers: [{ ...descriptor("a"), data: "Yg==" }] }), undefined, "`layers[0].data`"],
    ["annotations that are no texts", image({ annotations: { a: 1 } }), undefined, "must be texts"],
    ["a subject that is no descriptor", image({ subject: "sha256:0" }), undefined, "`subject` must be an object"],
  ])("%s", (_, document, contentType, message) => {
    const bytes = Buffer.from(typeof document === "string" ? document : JSON.stringify(document));
    expect(() => parseManifest(bytes, contentType)).toThrow(ManifestError);
    expect(() => parseManifest(bytes, contentType)).toThrow(message);
  });

  /** The image with `more` behind its last field: what Go's JSON takes. */
  const withKeys = (document: object, more: string) => Buffer.from(`${JSON.stringify(document).slice(0, -1)},${more}}`);
  const inLayer = (more: string) => Buffer.from(JSON.stringify(image()).replace('"layers":[{', `"layers":[{${more},`));
  test.each<[string, Buffer, string]>([
    ["layers again in other case", withKeys(image(), `"Layers":[]`), '"Layers", which many clients take for `layers`'],
    ["an image that is an index in other case", withKeys(image(), `"Manifests":[]`), '"Manifests", which'],
    ["an index that is an image in other case", withKeys(index(), `"CONFIG":{}`), '"CONFIG", which'],
    ["an escaped letter", withKeys(image(), String.raw`"l\u0041yers":[]`), '"lAyers", which'],
    ["the long s, which Go takes for an s", withKeys(image(), `"layerſ":[]`), '"layerſ", which'],
    ["a subject in other case alone", withKeys(image(), `"Subject":{}`), '"Subject", which many clients take for `subject`'],
    ["a field twice", withKeys(image(), `"layers":[]`), '"layers" twice'],
    ["a field twice, once escaped, with spaces", withKeys(image(), String.raw`"\u006cayers" : []`), '"layers" twice'],
    ["a field that is nobody's, twice", withKeys(image(), `"x":1,"x":2`), '"x" twice'],
    ["an annotation twice", withKeys(image(), `"annotations":{"a":"1","a":"2"}`), '"annotations.a" twice'],
    ["a descriptor's digest in other case", inLayer(`"Digest":"x"`), '"layers[0].Digest", which many clients take for `digest`'],
    ["a descriptor's digest twice", inLayer(`"digest":"x"`), '"layers[0].digest" twice'],
    [
      "a platform in other case",
      Buffer.from(
        JSON.stringify(index({ manifests: [descriptor("a"), descriptor("b", mediaTypes.ociManifest, { platform: { OS: "x" } })] })),
      ),
      '"manifests[1].platform.OS", which many clients take for `os`',
    ],
  ])("%s", (_, bytes, message) => {
    expect(() => parseManifest(bytes, undefined)).toThrow(ManifestError);
    expect(() => parseManifest(bytes, undefined)).toThrow(`The manifest has ${message}`);
  });

  test("case is free where nobody has a field of that name, and so are values that look like keys", () => {
    const annotations = { Digest: "1", digest: "2", layers: "Layers", '"layers"': '\\"Layers\\":' };
    const manifest = parse(image({ annotations, "x-more": { Size: 1, size: 2, Layers: [{ Digest: 1 }] }, "x-list": ["Layers", "Layers"] }));
    expect(manifest.annotations).toEqual(annotations);
    expect(parse(index({ manifests: [descriptor("a"), descriptor("a")] })).kind).toBe("index");
  });

  test("a byte order mark", () => {
    expect(() => parseManifest(Buffer.from(`\uFEFF${JSON.stringify(image())}`), mediaTypes.ociManifest)).toThrow("not JSON");
  });

  test("bytes that are not UTF-8", () => {
    expect(() => parseManifest(Buffer.from([0x7b, 0xff, 0x7d]), mediaTypes.ociManifest)).toThrow("not UTF-8");
  });

  test("whatever comes: a manifest or a ManifestError, nothing else", () => {
    const field = fc.constantFrom("schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations", "artifactType");
    const value = fc.oneof(fc.jsonValue(), fc.constant(config), fc.constant([config]), fc.constant(2), fc.constant(mediaTypes.ociManifest));
    const type = fc.option(fc.constantFrom(...Object.values(mediaTypes)), { nil: undefined });
    const judge = (document: unknown, contentType: string | undefined) => {
      try {
        return parse(document, contentType).kind;
      } catch (error) {
        return error instanceof ManifestError ? "refused" : error;
      }
    };
    fc.assert(
      fc.property(fc.dictionary(field, value), type, (document, contentType) => {
        expect(["image", "index", "refused"]).toContain(judge(document, contentType));
      }),
      { numRuns: 2_000 },
    );
  });
});
