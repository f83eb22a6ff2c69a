// The files of CNCF distribution (registry/storage/paths.go), whatever drive they lie on:
//   repositories/<name>/_manifests/tags/<tag>/current/link          digest
//   repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link digest
//   blobs/<algorithm>/<first two of hex>/<hex>/data                 bytes, of manifests too

import { algorithmOf, digestOf, hexOf, isDigest, parseDigest, type Digest } from "../domain/digest.ts";
import { maxManifestBytes } from "../domain/manifest.ts";
import { mediaTypes } from "../domain/media-types.ts";
import { each } from "./each.ts";
import { SourceError, type ImportSource, type SourceBlob, type SourceManifest } from "./import-source.ts";
import type { LayoutTree } from "./layout-tree.ts";
import { repositoryFolders } from "./layout-walk.ts";

const below = "docker/registry/v2";
const maxLinkBytes = 1024;
/** Links looked at together. */
const atOnce = 8;
const algorithms = ["sha256", "sha512"] as const;

export class RegistryLayout implements ImportSource {
  readonly name: string;
  readonly #tree: LayoutTree;
  readonly #root: string;

  /** `tree`: the root that was given to distribution, or `docker/registry/v2` in it. Rejects with SourceError Unusable when it is neither. */
  static async open(tree: LayoutTree): Promise<RegistryLayout> {
    for (const root of [`${below}/`, ""]) {
      const folders = await tree.folders(root.slice(0, -1));
      if (folders.includes("repositories") || (folders.includes("blobs") && root !== "")) return new RegistryLayout(tree, root);
    }
    throw new SourceError(
      "Unusable",
      `${tree.name} holds no registry: there is neither ${below}/repositories nor repositories in it. Name the folder that distribution has as its rootdirectory, or ${below} in it.`,
    );
  }

  private constructor(tree: LayoutTree, root: string) {
    this.#tree = tree;
    this.#root = root;
    this.name = tree.name;
  }

  repositories(leftOut: (folder: string, why: SourceError) => void): AsyncIterable<string> {
    return repositoryFolders({ tree: this.#tree, root: `${this.#root}repositories`, leftOut });
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const found = await this.#tree.folders(`${this.#repository(repository)}/tags`);
    if (found.length > 0) return found;
    return (await this.#tree.folders(this.#repository(repository))).length > 0 ? [] : undefined;
  }

  async resolve(repository: string, tag: string): Promise<Digest | undefined> {
    const path = `${this.#repository(repository)}/tags/${tag}/current/link`;
    const link = await this.#tree.read(path, maxLinkBytes);
    if (link === undefined) return undefined;
    const text = link.toString("utf8").trim();
    if (isDigest(text)) return text;
    throw new SourceError("BrokenLink", `${path} holds ${link.byteLength === 0 ? "nothing" : "no digest"}`);
  }

  async manifest(repository: string, digest: Digest): Promise<SourceManifest | undefined> {
    // Both at once: over a slow line to a bucket each is a round trip.
    const reading = this.#tree.read(this.#data(digest), maxManifestBytes);
    reading.catch(() => {}); // told below, unless the link is gone
    // Without its link the manifest was deleted from this repository, whatever the bytes do.
    if (!(await this.#tree.has(this.#revision(repository, digest)))) return undefined;
    const bytes = await reading;
    if (bytes === undefined) return undefined;
    const document = documentIn(bytes);
    // The digest of a signed manifest of schema 1 is that of a part of its bytes.
    if (document?.schemaVersion === 1) throw new SourceError("Schema1", "a manifest in Docker's schema 1, which is not stored here");
    const found = digestOf(bytes, algorithmOf(digest));
    if (found !== digest) throw new SourceError("WrongBytes", `the bytes of the manifest hash to ${found}`);
    return { digest, bytes, mediaType: mediaTypeOf(document) };
  }

  /** Distribution keeps no list of them; clients write one as a tag, and tags are imported anyway. */
  async referrers(): Promise<readonly Digest[]> {
    return [];
  }

  async manifests(repository: string): Promise<readonly Digest[]> {
    const found: Digest[] = [];
    for (const algorithm of algorithms) {
      const names = await this.#tree.folders(`${this.#repository(repository)}/revisions/${algorithm}`);
      await each(names, { limit: atOnce }, async (hex) => {
        const digest = parseDigest(`${algorithm}:${hex}`);
        // On a disk the folder of one that was deleted stays.
        if (digest !== undefined && (await this.#tree.has(this.#revision(repository, digest)))) found.push(digest);
      });
    }
    return found;
  }

  hasBlob(_repository: string, digest: Digest): Promise<boolean> {
    return this.#tree.has(this.#data(digest));
  }

  /** The bytes count, not the link of this repository to them: who may read the folder may read them all, and a lost link is mended so. */
  blob(_repository: string, digest: Digest, from: number): Promise<SourceBlob | undefined> {
    return this.#tree.open(this.#data(digest), from);
  }

  close(): Promise<void> {
    return this.#tree.close();
  }

  #repository(name: string): string {
    return `${this.#root}repositories/${name}/_manifests`;
  }

  #revision(repository: string, digest: Digest): string {
    return `${this.#repository(repository)}/revisions/${algorithmOf(digest)}/${hexOf(digest)}/link`;
  }

  #data(digest: Digest): string {
    const hex = hexOf(digest);
    return `${this.#root}blobs/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/data`;
  }
}

interface Document {
  readonly schemaVersion?: unknown;
  readonly mediaType?: unknown;
  readonly manifests?: unknown;
}

function documentIn(bytes: Buffer): Document | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined; // whoever reads the manifest says what is wrong with it
  }
}

/** The layout does not keep it. OCI manifests need not say it; then distribution tells them by what they hold, too. */
function mediaTypeOf(document: Document | undefined): string {
  if (typeof document?.mediaType === "string" && document.mediaType !== "") return document.mediaType;
  return Array.isArray(document?.manifests) ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}
