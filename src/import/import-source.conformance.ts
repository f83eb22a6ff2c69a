// What every source must do. An adapter's test file calls this with a source that was filled by `fillSource`.

import { describe, expect, test } from "vitest";

import { digestOf, type Digest } from "../domain/digest.ts";
import { mediaTypes } from "../domain/media-types.ts";
import type { ImportSource, SourceError } from "./import-source.ts";

export interface Pushed {
  readonly digest: Digest;
  readonly size: number;
}

/** What test/support/source-content.ts pushed. */
export interface SourceContent {
  readonly image: Digest;
  readonly index: Digest;
  readonly children: readonly Digest[];
  readonly tool: Pushed;
  readonly attached: Pushed;
  readonly untagged: Pushed;
  readonly deleted: Digest;
  /** Bytes of a layer of `tool`. */
  readonly layer: Buffer;
  /** Every repository and its tags. */
  readonly tags: Readonly<Record<string, readonly string[]>>;
}

export interface SourceUnderTest {
  readonly source: ImportSource;
  readonly content: SourceContent;
}

const tool = "team/deep/er/tool";
const unknown = digestOf("nobody has this");

/** Declares the tests of the port for one adapter. `listsManifests`: also those without a tag. */
export function importSourceConformance(adapter: string, options: { listsManifests: boolean }, open: () => SourceUnderTest): void {
  describe(`${adapter} is a source`, () => {
    test("every repository, however deep, each once", async () => {
      const { source, content } = open();
      const found: string[] = [];
      const leftOut: string[] = [];
      for await (const name of source.repositories((folder) => leftOut.push(folder))) found.push(name);
      expect([found.sort(), leftOut]).toEqual([Object.keys(content.tags).sort(), []]);
    });

    test("tags of every repository, and none of what is no repository", async () => {
      const { source, content } = open();
      for (const [name, tags] of Object.entries(content.tags))
        expect([...((await source.tags(name)) ?? [])].sort()).toEqual([...tags].sort());
      expect(await source.tags("team")).toBeUndefined();
      expect(await source.tags("nobody/pushed/this")).toBeUndefined();
    });

    test("what a tag points at", async () => {
      const { source, content } = open();
      expect(await source.resolve("team/app", "1.0")).toBe(content.image);
      expect(await source.resolve("team/app", "multi")).toBe(content.index);
      expect(await source.resolve("team/app", "2.0")).toBeUndefined();
    });

    test("manifests with the type they were pushed with, whether they say it or not", async () => {
      const { source, content } = open();
      const read = async (repository: string, digest: typeof unknown) => {
        const found = await source.manifest(repository, digest);
        return found === undefined
          ? undefined
          : { type: found.mediaType, right: found.digest === digest && digestOf(found.bytes) === digest };
      };
      expect(await read("team/app", content.image)).toEqual({ type: mediaTypes.ociManifest, right: true });
      expect((await read("team/app", content.index))?.right).toBe(true);
      expect((await read("team/app", content.index))?.type).toMatch(/index|manifest\.list/);
      expect(await read(tool, content.tool.digest)).toEqual({ type: mediaTypes.ociManifest, right: true });
      expect(await read(tool, content.untagged.digest)).toEqual({ type: mediaTypes.ociManifest, right: true });
    });

    test("not what was deleted, is of another repository, or never was", async () => {
      const { source, content } = open();
      expect(await source.manifest(tool, content.deleted)).toBeUndefined();
      expect(await source.manifest("win", content.tool.digest)).toBeUndefined();
      expect(await source.manifest(tool, unknown)).toBeUndefined();
    });

    test.each([0, 1, 299_999])("a blob from byte %d on", async (from) => {
      const { source, content } = open();
      const digest = digestOf(content.layer);
      expect(await source.hasBlob(tool, digest)).toBe(true);
      const blob = await source.blob(tool, digest, from);
      expect(blob).toMatchObject({ start: from, size: content.layer.byteLength });
      const pieces: Uint8Array[] = [];
      for await (const piece of blob?.body ?? []) pieces.push(piece);
      expect(Buffer.concat(pieces).equals(content.layer.subarray(from))).toBe(true);
    });

    test("no blob that never was", async () => {
      const { source } = open();
      expect(await source.hasBlob(tool, unknown)).toBe(false);
      expect(await source.blob(tool, unknown, 0)).toBeUndefined();
    });

    test("every manifest, tagged or not, or the word that it cannot list them", async () => {
      const { source, content } = open();
      const all = [content.untagged.digest, content.tool.digest, content.attached.digest];
      const found = await source.manifests(tool).catch((error: SourceError) => error.code);
      const missing = typeof found === "string" ? found : all.filter((digest) => !found.includes(digest));
      expect(missing).toEqual(options.listsManifests ? [] : "Unlisted");
      expect(found).not.toContain(content.deleted);
    });

    test("referrers: none where the source keeps no list of them", async () => {
      const { source, content } = open();
      expect(await source.referrers(tool, content.tool.digest)).toEqual([]);
    });
  });
}
