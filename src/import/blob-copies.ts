// Blobs, each sent once: what the registry has anywhere is mounted, and what is on its way for another repository is waited for.

import { Readable } from "node:stream";

import { ClientError } from "../client/errors.ts";
import type { UploadLocation } from "../client/push-client.ts";
import type { Digest } from "../domain/digest.ts";
import type { SourceBlob } from "./import-source.ts";
import type { ImportReport } from "./report.ts";
import { Unimportable, type Traffic } from "./traffic.ts";

/** Bytes. A blob is sent by one request below this; above it by two, so that a break costs only what did not arrive. */
const worthTakingUp = 8 * 1024 * 1024;

export interface BlobOfRepository {
  /** In the source. */
  readonly from: string;
  /** Here. */
  readonly to: string;
  readonly digest: Digest;
  /** As the manifest says, bytes. */
  readonly size: number;
}

export class BlobCopies {
  readonly #traffic: Traffic;
  readonly #report: ImportReport;
  readonly #dryRun: boolean;
  readonly #underWay = new Map<Digest, Promise<unknown>>();
  /** What a dry run would have sent. */
  readonly #counted = new Set<Digest>();

  constructor(options: { traffic: Traffic; report: ImportReport; dryRun: boolean }) {
    this.#traffic = options.traffic;
    this.#report = options.report;
    this.#dryRun = options.dryRun;
  }

  /** False: the source does not have it. Rejects with Unimportable and what else `Traffic.run` does. */
  async copy(blob: BlobOfRepository): Promise<boolean> {
    if (this.#dryRun) return this.#count(blob);
    for (let other = this.#underWay.get(blob.digest); other !== undefined; other = this.#underWay.get(blob.digest)) await other;
    const copying = this.#send(blob);
    // Whether the first one succeeds or not, the next one sees for itself.
    const settled = copying.then(
      () => {},
      () => {},
    );
    this.#underWay.set(blob.digest, settled);
    try {
      return await copying;
    } finally {
      this.#underWay.delete(blob.digest);
    }
  }

  async #count({ from, to, digest, size }: BlobOfRepository): Promise<boolean> {
    const { source, target } = this.#traffic;
    const { blobs } = this.#report.counts;
    if (await this.#traffic.run(() => target.hasBlob(to, digest))) {
      blobs.present++;
      return true;
    }
    if (!(await this.#traffic.run(() => source.hasBlob(from, digest)))) return false;
    if (this.#counted.has(digest)) blobs.present++;
    else {
      this.#counted.add(digest);
      blobs.copied++;
      blobs.bytes += size;
    }
    return true;
  }

  async #send(blob: BlobOfRepository): Promise<boolean> {
    const { target } = this.#traffic;
    const { blobs } = this.#report.counts;
    let upload: Upload | undefined;
    try {
      // Bytes follow their session at once: the registry counts those that are open, and hundreds would wait for their turn.
      const outcome = await this.#traffic.run(async () => {
        if (upload !== undefined) return await upload.go({ again: true });
        // One question: is it in this repository, or in another that it can be had from? Else it goes where the answer says.
        const location = await target.mountOrStart(blob.to, blob.digest);
        if (location === undefined) return "present";
        upload = new Upload(this.#traffic, this.#report, blob, location);
        return await upload.go({ again: false });
      });
      if (outcome === "present") blobs.present++;
      else if (outcome) blobs.copied++;
      else await upload?.cancel();
      return outcome !== false;
    } catch (error) {
      await upload?.cancel();
      throw error;
    }
  }
}

/** One blob on its way, over as many attempts as it takes. */
class Upload {
  #location: UploadLocation;
  readonly #traffic: Traffic;
  readonly #report: ImportReport;
  readonly #blob: BlobOfRepository;
  /** How often the next byte was not the one that the registry waited for. */
  #astray = 0;

  constructor(traffic: Traffic, report: ImportReport, blob: BlobOfRepository, location: UploadLocation) {
    this.#traffic = traffic;
    this.#report = report;
    this.#blob = blob;
    this.#location = location;
  }

  async cancel(): Promise<void> {
    await this.#traffic.target.cancelUpload(this.#location);
  }

  /** False: the source does not have it. Rejects with SourceError and ClientError, told apart even where a body broke. */
  async go(options: { again: boolean }): Promise<boolean> {
    const { source } = this.#traffic;
    const { from, digest, size } = this.#blob;
    const offset = options.again ? await this.#takeUp() : 0;
    if (offset === undefined) return true;
    if (offset > 0 && offset === size) return this.#finish(offset);
    const found = await source.blob(from, digest, offset);
    if (found === undefined) return false;
    try {
      // The source begins anew, and so must the registry.
      if (found.start !== offset) this.#location = await this.#begin();
      return await this.#pass(found);
    } finally {
      // Its connection is one of few, also when the registry never took a byte.
      found.discard();
    }
  }

  async #pass(found: SourceBlob): Promise<boolean> {
    const { target } = this.#traffic;
    const { digest, size } = this.#blob;
    const watched = new WatchedBody(found, (bytes) => (this.#report.counts.blobs.bytes += bytes));
    const part = { start: found.start, size: found.size, body: watched.readable };
    try {
      if ((found.size ?? size) < worthTakingUp) return await this.#judged(target.upload(this.#location, digest, part));
      this.#location = await target.append(this.#location, part);
    } catch (error) {
      if (watched.failure !== undefined) throw watched.failure;
      // The request before this one had not ended when it was asked how far it came.
      if (!(error instanceof ClientError) || error.status !== 416 || this.#astray === 2) throw error;
      this.#astray++;
      return await this.go({ again: true });
    } finally {
      watched.readable.destroy();
    }
    return this.#finish(found.size ?? size);
  }

  #finish(size: number): Promise<boolean> {
    const { target } = this.#traffic;
    return this.#judged(target.upload(this.#location, this.#blob.digest, { start: size, size, body: Readable.from([]) }));
  }

  /** The registry hashes what it gets: what it refuses are other bytes than the manifest names. */
  async #judged(storing: Promise<void>): Promise<boolean> {
    try {
      await storing;
      return true;
    } catch (error) {
      if (!(error instanceof ClientError) || error.status !== 400) throw error;
      throw new Unimportable("wrongBytes", `the source's bytes are not this blob: ${error.message}`, { cause: error });
    }
  }

  /** Where to go on after a failure; undefined: it is stored, the answer got lost. */
  async #takeUp(): Promise<number | undefined> {
    const { target } = this.#traffic;
    const { to, digest } = this.#blob;
    if (await target.hasBlob(to, digest)) return undefined;
    const offset = await target.uploadOffset(this.#location);
    if (offset !== undefined && this.#astray < 2) return offset;
    this.#location = await this.#begin();
    return 0;
  }

  async #begin(): Promise<UploadLocation> {
    const { target } = this.#traffic;
    await target.cancelUpload(this.#location);
    return (await target.mountOrStart(this.#blob.to, this.#blob.digest)) ?? this.#location;
  }
}

/** Counts what passes, and keeps why it broke: whoever sends it only says that it did. */
class WatchedBody {
  readonly readable: Readable;
  failure: unknown;

  constructor(blob: SourceBlob, count: (bytes: number) => void) {
    this.readable = Readable.from(this.#watch(blob.body, count), { objectMode: false });
  }

  async *#watch(body: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of body) {
        yield piece;
        count(piece.byteLength);
      }
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}
