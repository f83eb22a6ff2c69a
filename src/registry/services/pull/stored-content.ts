// Tags, manifests and blobs as pulls ask for them: from memory while the view holds (storage.md, "Reading").

import type { Digest } from "../../../domain/digest.ts";
import type { Reference } from "../../../domain/reference.ts";
import { findBlob, type StoredBlob } from "../../metadata/blobs.ts";
import type { Queryable } from "../../metadata/database.ts";
import { findManifestByDigest, findManifestByTag, type StoredManifest } from "../../metadata/manifests.ts";
import { findProxiedTag, type ProxiedTag } from "../../metadata/proxy-tags.ts";
import { findRepository, type Repository } from "../../metadata/repositories.ts";
import { elapsedSince, momentNow, type Moment, type View } from "./view.ts";

/** Milliseconds between two looks at a tag that other processes may have confirmed meanwhile. */
const lookAgainAfter = 1_000;
/** Bytes that a remembered value costs beside those of a manifest. */
const cost = 300;

interface OwnTag {
  readonly of: "own";
  readonly manifest: StoredManifest;
}

interface UpstreamTag {
  readonly of: "upstream";
  readonly tag: ProxiedTag;
  readonly readAt: Moment;
}

/** What is remembered under the key of a tag. An empty repository of the team's own may become an Upstream's: the two are told apart. */
type RememberedTag = OwnTag | UpstreamTag;

export class StoredContent {
  readonly #database: Queryable;
  readonly #view: View;

  constructor(options: { readonly database: Queryable; readonly view: View }) {
    this.#database = options.database;
    this.#view = options.view;
  }

  async repository(name: string): Promise<Repository | undefined> {
    const key = repositoryKey(name);
    const load = () => findRepository(this.#database, name);
    return this.#view.peek<Repository>(key) ?? this.#view.getEvenOld(key, load, () => cost);
  }

  /** By tag for an own repository, by digest for any. */
  async manifest(repository: string, reference: Reference): Promise<StoredManifest | undefined> {
    if ("tag" in reference) return (await this.#ownTag(repository, reference.tag))?.manifest;
    const { digest } = reference;
    return this.#find(repository, manifestKey(digest), (key) =>
      this.#view.getEvenOld(key, () => findManifestByDigest(this.#database, repository, digest), costOfManifest),
    );
  }

  blob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    return this.#find(repository, blobKey(digest), (key) =>
      this.#view.getEvenOld(
        key,
        () => findBlob(this.#database, repository, digest),
        () => cost,
      ),
    );
  }

  /** The blob as the database has it now, for who found nothing under its remembered key. Undefined: the right to it is gone. */
  async blobAgain(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    await this.#drop(repository, blobKey(digest));
    return findBlob(this.#database, repository, digest);
  }

  /**
   * A tag of an Upstream's repository: what the ledger says, what upstream said last, and how long ago. What is older than `freshFor`
   * milliseconds another process may have confirmed since: the database is asked again, now and then.
   */
  async upstreamTag(repository: string, tag: string, freshFor: number): Promise<ProxiedTag> {
    const isEnough = (known: UpstreamTag) =>
      known.of === "upstream" && (known.tag.version !== null || ageOf(known) < freshFor || elapsedSince(known.readAt) < lookAgainAfter);
    const find = async (key: string) => {
      const known = await this.#upstreamTag(key, repository, tag);
      if (known === undefined || isEnough(known)) return known;
      this.#view.drop(key);
      return this.#upstreamTag(key, repository, tag);
    };
    const found = await this.#find(repository, tagKey(tag), find, isEnough);
    if (found === undefined) return { version: null, digest: null, age: null };
    return found.tag.age === null ? found.tag : { ...found.tag, age: ageOf(found) };
  }

  /** This process has just confirmed, moved or dropped the tag. */
  dropTag(repository: string, tag: string): Promise<void> {
    return this.#drop(repository, tagKey(tag));
  }

  #ownTag(repository: string, tag: string): Promise<OwnTag | undefined> {
    const load = async (): Promise<OwnTag | undefined> => {
      const manifest = await findManifestByTag(this.#database, repository, tag);
      return manifest && { of: "own", manifest };
    };
    const find = (key: string) => this.#tag(key, "own", load);
    return this.#find<OwnTag>(repository, tagKey(tag), find, (known) => known.of === "own");
  }

  #upstreamTag(key: string, repository: string, tag: string): Promise<UpstreamTag | undefined> {
    return this.#tag(key, "upstream", async (): Promise<UpstreamTag | undefined> => {
      const readAt = momentNow();
      const found = await findProxiedTag(this.#database, repository, tag);
      return found.version === null && found.digest === null ? undefined : { of: "upstream", tag: found, readAt };
    });
  }

  async #tag<T extends RememberedTag>(key: string, of: T["of"], load: () => Promise<T | undefined>): Promise<T | undefined> {
    for (;;) {
      const found = await this.#view.get<RememberedTag>(key, load, costOfTag);
      if (found === undefined || found.of === of) return found as T | undefined;
      this.#view.drop(key);
    }
  }

  /**
   * With the key that the repository's number makes, on the server that gave the number: a server gives it to no other name. `isEnough`: what is
   * remembered is what was asked for.
   */
  async #find<T extends object>(
    repository: string,
    keyOf: (id: number) => string,
    find: (key: string) => Promise<T | undefined>,
    isEnough: (known: T) => boolean = () => true,
  ): Promise<T | undefined> {
    for (;;) {
      const { generation } = this.#view;
      const owner = this.#view.peek<Repository>(repositoryKey(repository)) ?? (await this.repository(repository));
      if (owner === undefined) return undefined;
      const key = keyOf(owner.id);
      const known = this.#view.peek<T>(key);
      const found = known !== undefined && isEnough(known) ? known : await find(key);
      if (generation === this.#view.generation) return found;
      this.#view.drop(key);
    }
  }

  async #drop(repository: string, keyOf: (id: number) => string): Promise<void> {
    const owner = await this.repository(repository);
    if (owner !== undefined) this.#view.drop(keyOf(owner.id));
  }
}

const repositoryKey = (name: string) => `repository:${name}`;
const manifestKey = (digest: Digest) => (id: number) => `manifest:${id}:${digest}`;
const blobKey = (digest: Digest) => (id: number) => `blob:${id}:${digest}`;
const tagKey = (tag: string) => (id: number) => `tag:${id}:${tag}`;

const costOfManifest = ({ bytes }: StoredManifest) => bytes.byteLength + cost;
const costOfTag = (tag: RememberedTag) => (tag.of === "own" ? costOfManifest(tag.manifest) : cost);

/** Milliseconds since upstream confirmed it, now. */
function ageOf({ tag, readAt }: UpstreamTag): number {
  return (tag.age ?? Infinity) + elapsedSince(readAt);
}
