// One repository: blobs, then the manifests that name them, children before indexes, then tags; and what is attached to any of it.

import type { LRUCache } from "lru-cache";

import type { ManifestThere } from "../client/push-client.ts";
import type { RegistryClient } from "../client/registry-client.ts";
import type { Digest } from "../domain/digest.ts";
import { blobsOf, childrenOf, ManifestError, parseManifest, Schema1Error, type Manifest } from "../domain/manifest.ts";
import { isTag } from "../domain/reference.ts";
import type { BlobCopies } from "./blob-copies.ts";
import { each } from "./each.ts";
import type { SourceManifest } from "./import-source.ts";
import type { ImportReport, Problem } from "./report.ts";
import { RepositoryRefused, Unimportable, type Traffic } from "./traffic.ts";

export interface RepositoryOptions {
  /** Name in the source. */
  readonly from: string;
  /** Name here. */
  readonly to: string;
  readonly traffic: Traffic;
  /** Reads back what is here already. */
  readonly registry: RegistryClient;
  /** Manifests of a moment ago: each is needed again for its tags. */
  readonly recent: LRUCache<Digest, SourceManifest>;
  readonly blobs: BlobCopies;
  readonly report: ImportReport;
  readonly concurrency: number;
  readonly overwriteTags: boolean;
  readonly untagged: boolean;
  readonly dryRun: boolean;
}

/** Indexes in indexes; nobody makes more than two levels. */
const maxDepth = 16;

export class RepositoryImport {
  readonly #options: RepositoryOptions;
  readonly #traffic: Traffic;
  readonly #report: ImportReport;
  /** Every manifest that was looked at, and whether it is here now. */
  readonly #manifests = new Map<Digest, Promise<boolean>>();
  readonly #blobs = new Map<Digest, Promise<boolean>>();
  /** The tag before was here: so may the next be, and then asking for it first spares asking for its manifest. */
  #tagsAreHere = true;

  constructor(options: RepositoryOptions) {
    this.#options = options;
    this.#traffic = options.traffic;
    this.#report = options.report;
  }

  /** Rejects with RepositoryRefused and what ends the import. */
  async run(): Promise<void> {
    const { from, concurrency, untagged } = this.#options;
    const { source, target } = this.#traffic;
    // Before anything is read: may this be pushed, and does the name belong to an Upstream?
    await this.#traffic.run(() => target.probe(this.#options.to));
    const tags = await this.#reported(
      {},
      this.#traffic.run(() => source.tags(from)),
    );
    if (tags === failed) return;
    if (tags === undefined) return this.#problem({ kind: "missingRepository", message: "the source has no such repository" });
    await each(tags, { limit: concurrency }, (tag) => this.#tag(tag));
    if (untagged) {
      const all = await this.#reported(
        {},
        this.#traffic.run(() => source.manifests(from)),
      );
      if (all !== failed) await each(all, { limit: concurrency }, (digest) => this.#manifest(digest));
    }
    await this.#attached();
  }

  async #tag(tag: string): Promise<void> {
    const { from } = this.#options;
    if (!isTag(tag)) {
      this.#report.counts.tags.skipped++;
      return this.#problem({ kind: "name", tag, message: "this is not a name that a tag can have" });
    }
    const digest = await this.#reported(
      { tag },
      this.#traffic.run(() => this.#traffic.source.resolve(from, tag)),
    );
    if (digest === undefined) this.#problem({ kind: "danglingTag", tag, message: "the source lists this tag, and it points to nothing" });
    if (digest === undefined || digest === failed) this.#report.counts.tags.skipped++;
    else await this.#bring(tag, digest);
  }

  async #bring(tag: string, digest: Digest): Promise<void> {
    const { tags } = this.#report.counts;
    const before = this.#tagsAreHere ? await this.#tagHere(tag).catch(unlessImportEnds) : undefined;
    const here = before?.digest === digest ? before : undefined;
    if (!(await this.#manifest(digest, here === undefined ? {} : { here }))) {
      tags.skipped++;
      this.#problem({ kind: "tagWithoutManifest", tag, digest, message: "its manifest could not be imported" });
    } else if (here === undefined) await this.#reported({ tag, digest }, this.#point(tag, digest));
    else tags.unchanged++;
  }

  async #tagHere(tag: string) {
    const found = await this.#traffic.run(() => this.#traffic.target.headManifest(this.#options.to, tag));
    this.#tagsAreHere = found !== undefined;
    return found;
  }

  async #point(tag: string, digest: Digest): Promise<void> {
    const { to, overwriteTags, dryRun } = this.#options;
    const { target } = this.#traffic;
    const { tags } = this.#report.counts;
    // Now, not before its manifest was sent: somebody may have pushed it meanwhile.
    const here = await this.#tagHere(tag);
    if (here?.digest === digest) return void tags.unchanged++;
    if (here !== undefined && !overwriteTags) {
      tags.left++;
      const message = `it points to ${here.digest} here and was left so (--overwrite-tags moves it)`;
      return this.#problem({ kind: "tagLeft", tag, digest, message });
    }
    if (!dryRun) {
      const manifest = await this.#stored(digest);
      await this.#traffic
        .run(() => target.putManifest(to, manifest, { tag }))
        .catch((error: unknown) => {
          // A protected tag, or one that the record has: the others of the repository may be set.
          throw error instanceof RepositoryRefused ? new Unimportable("refused", error.message, { cause: error }) : error;
        });
    }
    if (here === undefined) tags.created++;
    else tags.moved++;
  }

  /** Referrers of everything that came along, their own referrers included. Not part of `#manifest`: two that refer to each other would wait for each other. */
  async #attached(): Promise<void> {
    const { from, concurrency } = this.#options;
    const asked = new Set<Digest>();
    for (;;) {
      const subjects = [...this.#manifests.keys()].filter((digest) => !asked.has(digest));
      if (subjects.length === 0) return;
      await each(subjects, { limit: concurrency }, async (digest) => {
        asked.add(digest);
        const found = await this.#reported(
          { digest },
          this.#traffic.run(() => this.#traffic.source.referrers(from, digest)),
        );
        if (found !== failed) for (const referrer of found) await this.#manifest(referrer);
      });
    }
  }

  /** True when it is here with everything it needs. What stands in the way has been told. */
  #manifest(digest: Digest, named: Named = {}): Promise<boolean> {
    const known = this.#manifests.get(digest);
    if (known !== undefined) return known;
    const copying = this.#reported({ digest }, this.#copyManifest(digest, named)).then((done) => done !== failed);
    this.#manifests.set(digest, copying);
    return copying;
  }

  async #copyManifest(digest: Digest, { by, depth = 0, here: known }: Named): Promise<void> {
    const { from, to, dryRun } = this.#options;
    const { source, target } = this.#traffic;
    const here = known ?? (await this.#traffic.run(() => target.headManifest(to, digest)));
    if (here !== undefined) {
      this.#report.counts.manifests.present++;
      // The registry holds what an image needs, or says what it lost of that; children of an index may be missing.
      if (isIndex(here.mediaType)) await this.#children(digest, parsed(await this.#stored(digest)), depth);
      else if (here.lostBlobs > 0) await this.#blobsOf(parsed(await this.#stored(digest)));
      return;
    }
    const manifest = await this.#traffic.run(() => source.manifest(from, digest));
    if (manifest === undefined)
      throw new Unimportable(
        "missingManifest",
        `the source does not have this manifest${by === undefined ? "" : `, which the index ${by} names`}`,
      );
    const document = parsed(manifest);
    await this.#children(digest, document, depth);
    await this.#blobsOf(document);
    if (!dryRun) await this.#traffic.run(() => target.putManifest(to, manifest));
    this.#options.recent.set(digest, manifest);
    this.#report.counts.manifests.copied++;
  }

  /** Those that are missing are told; the index comes along without them, as the source has it. */
  async #children(index: Digest, document: Manifest, depth: number): Promise<void> {
    if (depth === maxDepth) throw new Unimportable("unsupportedManifest", `indexes are nested more than ${maxDepth} levels deep`);
    await Promise.all(childrenOf(document).map(({ digest }) => this.#manifest(digest, { by: index, depth: depth + 1 })));
  }

  async #blobsOf(document: Manifest): Promise<void> {
    const blobs = blobsOf(document);
    const found = await Promise.all(blobs.map(async (blob) => ((await this.#blob(blob.digest, blob.size, blob.required)) ? [] : [blob])));
    const missing = found.flat().filter(({ required }) => required);
    if (missing.length > 0)
      throw new Unimportable("incompleteManifest", `${missing.length} of ${blobs.length} blobs that it names could not be imported`);
  }

  #blob(digest: Digest, size: number, required: boolean): Promise<boolean> {
    const known = this.#blobs.get(digest);
    if (known !== undefined) return known;
    const { from, to, blobs } = this.#options;
    const copying = this.#reported({ digest }, blobs.copy({ from, to, digest, size })).then((found) => {
      if (found === false && required) this.#problem({ kind: "missingBlob", digest, message: "the source does not have this blob" });
      return found === true;
    });
    this.#blobs.set(digest, copying);
    return copying;
  }

  /** The bytes of a manifest that is here. */
  async #stored(digest: Digest): Promise<SourceManifest> {
    const { to, registry, recent } = this.#options;
    const known = recent.get(digest);
    if (known !== undefined) return known;
    const found = await this.#traffic.run(() => registry.manifest(to, digest));
    if (found === undefined) throw new Unimportable("refused", "it was deleted here while the import ran");
    recent.set(digest, { ...found, digest });
    return { ...found, digest };
  }

  /** What cannot be imported is told, and the others go on. */
  async #reported<T>(of: Pick<Problem, "tag" | "digest">, work: Promise<T>): Promise<T | typeof failed> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof Unimportable)) throw error;
      this.#problem({ ...of, kind: error.kind, message: error.message });
      return failed;
    }
  }

  #problem(problem: Omit<Problem, "repository">): void {
    this.#report.problem({ repository: this.#options.from, ...problem });
  }
}

/** Where a manifest was come upon. */
interface Named {
  /** The index that names it. */
  readonly by?: Digest;
  readonly depth?: number;
  /** It is here: a tag leads to it. */
  readonly here?: ManifestThere;
}

const failed = Symbol("failed");

/** Whoever asks again is told. */
function unlessImportEnds(error: unknown): undefined {
  if (!(error instanceof Unimportable)) throw error;
}

const isIndex = (mediaType: string) => /(?:image\.index\.v1|manifest\.list\.v2)\+json$/.test(mediaType);

function parsed({ bytes, mediaType }: SourceManifest): Manifest {
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    throw new Unimportable(error instanceof Schema1Error ? "schema1" : "unsupportedManifest", error.message, { cause: error });
  }
}
