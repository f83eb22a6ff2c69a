// How many bytes an upload may bring to a repository that has a limit, asked before they are stored: what is refused only at its end has taken
// its place in the store until then, and with it whoever sends as much as often as he likes.

import type { Digest } from "../../../domain/digest.ts";
import { claimBlob } from "../../metadata/blobs.ts";
import type { Queryable } from "../../metadata/database.ts";
import { readUploadUsage } from "../../metadata/usage.ts";
import { full, tooMuchUnfinished, unlimited, type BytesAllowed } from "./repository-limits.ts";

/** Most bytes that are granted before they came, so that a long upload asks rarely. */
const mostAhead = 64 * 1024 * 1024;
/** Part of the limit that is granted ahead at least: small layers that come together leave room for one another. */
const leastAhead = 1 / 64;

export interface BeginningUpload {
  readonly repository: string;
  /** Bytes that its session has already. */
  readonly offset?: number;
  /** What the repository has already needs no room. */
  readonly digest?: Digest;
}

export class UploadRooms {
  readonly database: Queryable;
  readonly bytesAllowed: BytesAllowed;
  readonly #underWay = new Map<string, number>();

  constructor(options: { readonly database: Queryable; readonly bytesAllowed?: BytesAllowed }) {
    this.database = options.database;
    this.bytesAllowed = options.bytesAllowed ?? unlimited;
  }

  /** For one request. Its `end` must be called. */
  begin(upload: BeginningUpload): UploadRoom {
    return new UploadRoom(this, upload);
  }

  /** Bytes that requests to the repository in this process may bring, of which no session tells yet. */
  underWay(repository: string): number {
    return this.#underWay.get(repository) ?? 0;
  }

  count(repository: string, bytes: number): void {
    const sum = this.underWay(repository) + bytes;
    if (sum > 0) this.#underWay.set(repository, sum);
    else this.#underWay.delete(repository);
  }
}

export class UploadRoom {
  readonly #rooms: UploadRooms;
  readonly #upload: BeginningUpload;
  #granted = 0;
  #wasExceeded = false;

  constructor(rooms: UploadRooms, upload: BeginningUpload) {
    this.#rooms = rooms;
    this.#upload = upload;
  }

  /** More came than there was room for. */
  get wasExceeded(): boolean {
    return this.#wasExceeded;
  }

  /** Before anything comes: throws DENIED when there is no room for `bytes`, and the repository does not have `digest`. */
  async require(bytes: number): Promise<void> {
    await this.#grant(bytes, 0);
  }

  /** While they come, with the bytes of this request so far: how many may come until it asks again. Throws DENIED. */
  async grow(bytes: number): Promise<number> {
    try {
      return await this.#grant(bytes, Math.min(bytes, mostAhead));
    } catch (error) {
      this.#wasExceeded = true;
      throw error;
    }
  }

  end(): void {
    this.#rooms.count(this.#upload.repository, -this.#granted);
    this.#granted = 0;
  }

  /**
   * An upload must fit into what the repository does not use. All that are not finished may have as much again as the limit: what a client
   * left behind that broke off must not keep it from coming again.
   */
  async #grant(bytes: number, ahead: number): Promise<number> {
    const { repository, offset = 0 } = this.#upload;
    if (bytes <= this.#granted) return this.#granted;
    const limit = this.#rooms.bytesAllowed(repository);
    if (limit === undefined) return Infinity;
    const { used, unfinished } = await readUploadUsage(this.#rooms.database, repository);
    const others = unfinished + this.#rooms.underWay(repository) - this.#granted;
    const forThis = limit - used - offset;
    const forAll = 2 * limit - used - others;
    if (bytes <= forThis && bytes <= forAll) {
      const enough = bytes + Math.max(ahead, ahead > 0 ? Math.ceil(limit * leastAhead) : 0);
      return this.#take(Math.min(enough, forThis, forAll));
    }
    const left = await this.#leftOfKnown();
    if (bytes <= left) return this.#take(left);
    throw bytes > forThis
      ? full(repository, { used, limit, more: offset + bytes })
      : tooMuchUnfinished(repository, { limit, unfinished: others });
  }

  /** Bytes to the end of the blob that the repository has, at least one: who does not say how many come is asked about the first. */
  async #leftOfKnown(): Promise<number> {
    const { repository, offset = 0, digest } = this.#upload;
    const stored = digest === undefined ? undefined : await claimBlob(this.#rooms.database, repository, digest);
    return stored === undefined ? 0 : Math.max(1, stored.size - offset);
  }

  #take(bytes: number): number {
    this.#rooms.count(this.#upload.repository, bytes - this.#granted);
    return (this.#granted = bytes);
  }
}
