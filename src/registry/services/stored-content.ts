// Manifests and blobs of stored repositories as pulls ask for them: from memory while the view holds (storage.md, "Reading").

import { LRUCache } from "lru-cache";

import type { Digest } from "../../domain/digest.ts";
import type { Reference } from "../../domain/reference.ts";
import { findBlob, type StoredBlob } from "../metadata/blobs.ts";
import type { Queryable } from "../metadata/database.ts";
import { findManifestByDigest, findManifestByTag, type StoredManifest } from "../metadata/manifests.ts";
import { findRepository } from "../metadata/repositories.ts";
import { ServiceError } from "./errors.ts";
import { ViewUnavailable, type View } from "./view.ts";

/** Numbers of repositories by name; they never change and are never given to another name. */
const rememberedNames = 100_000;
/** Milliseconds: content that was confirmed this recently is served by digest while the database is silent. */
const servedWithoutDatabase = 60_000;
const blobCost = 200;
const manifestCost = 300;

export class StoredContent {
  readonly #database: Queryable;
  readonly #view: View;
  readonly #ids = new LRUCache<string, number>({ max: rememberedNames });

  constructor(options: { readonly database: Queryable; readonly view: View }) {
    this.#database = options.database;
    this.#view = options.view;
  }

  async manifest(repository: string, reference: Reference): Promise<StoredManifest | undefined> {
    const id = await this.#idOf(repository);
    if (id === undefined) return undefined;
    if ("digest" in reference) {
      const { digest } = reference;
      return this.#evenSilent(`manifest:${id}:${digest}`, () => findManifestByDigest(this.#database, repository, digest), costOf);
    }
    const { tag } = reference;
    return this.#told(this.#view.get(`tag:${id}:${tag}`, () => findManifestByTag(this.#database, repository, tag), costOf));
  }

  async blob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    const id = await this.#idOf(repository);
    if (id === undefined) return undefined;
    return this.#evenSilent(
      `blob:${id}:${digest}`,
      () => findBlob(this.#database, repository, digest),
      () => blobCost,
    );
  }

  async #idOf(repository: string): Promise<number | undefined> {
    const known = this.#ids.get(repository);
    if (known !== undefined) return known;
    const found = await findRepository(this.#database, repository);
    if (found !== undefined) this.#ids.set(repository, found.id);
    return found?.id;
  }

  /** A digest names the same bytes for ever: old is wrong only when it was deleted meanwhile. */
  async #evenSilent<T extends object>(key: string, load: () => Promise<T | undefined>, cost: (value: T) => number): Promise<T | undefined> {
    try {
      return await this.#view.get(key, load, cost);
    } catch (error) {
      const recent = this.#view.recent<T>(key, servedWithoutDatabase);
      if (recent !== undefined) return recent;
      throw toldClient(error);
    }
  }

  async #told<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw toldClient(error);
    }
  }
}

const costOf = ({ bytes }: StoredManifest) => bytes.byteLength + manifestCost;

function toldClient(error: unknown): unknown {
  if (!(error instanceof ViewUnavailable)) return error;
  return new ServiceError("UNAVAILABLE", "The registry's database does not answer. Try again.", { cause: error, retryAfter: 1 });
}
