// Named objects in a bucket: `<prefix>backup/…` and `<prefix>marker/…`. What fits into a part is one PutObject, more is a multipart upload whose
// parts go one after the other.

import { BlobStoreError } from "./blob-store.ts";
import type { NamedObject, NamedObjects } from "./named-objects.ts";
import { checkedName, checkedPrefix } from "./object-name.ts";
import { partSize } from "./part-size.ts";
import { readWhole } from "./read-whole.ts";
import type { S3 } from "./s3-client.ts";
import { S3Objects, type MultipartUpload } from "./s3-objects.ts";
import { fromBegin, S3Reader, type Get } from "./s3-reader.ts";
import { listObjects, listUploads } from "./s3-listing.ts";
import { abortUploads, removeFromS3 } from "./s3-removal.ts";
import type { S3Part } from "./s3-state.ts";

export class S3NamedObjects implements NamedObjects {
  readonly #s3: S3;
  readonly #objects: S3Objects;

  constructor(s3: S3) {
    this.#s3 = s3;
    this.#objects = new S3Objects(s3, "");
  }

  async put(name: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    checkedName(name);
    const parts: S3Part[] = [];
    let upload: MultipartUpload | undefined;
    try {
      let sent = 0;
      for await (const { bytes, last } of inParts(pieces)) {
        sent += bytes.byteLength;
        if (upload === undefined && last) {
          await this.#objects.put(name, bytes);
          return sent;
        }
        upload ??= { key: name, id: await this.#objects.beginUpload(name) };
        if (bytes.byteLength > 0)
          parts.push({ etag: await this.#objects.putPart(upload, parts.length + 1, bytes), size: bytes.byteLength });
      }
      if (upload !== undefined) await this.#complete(upload, parts, sent);
      return sent;
    } catch (error) {
      // Best effort: what stays is listed as not finished, and taken away by whoever cleans up.
      if (upload !== undefined) await abortUploads(this.#s3, this.#objects, [name]);
      throw error;
    }
  }

  async *get(name: string): AsyncGenerator<Uint8Array> {
    checkedName(name);
    const get: Get = (from, etag) => this.#objects.get(name, from, etag);
    yield* readWhole(new S3Reader(get, await get(fromBegin)));
  }

  async *list(prefix: string): AsyncGenerator<NamedObject> {
    const { Key: start } = this.#objects.at(checkedPrefix(prefix));
    const nameOf = (key: string) => key.slice(this.#s3.prefix.length);
    for await (const page of listUploads(this.#s3, start)) {
      for (const { Key = "", Initiated = new Date(0) } of page) yield { name: nameOf(Key), size: 0, modified: Initiated, finished: false };
    }
    for await (const page of listObjects(this.#s3, start)) {
      // A name with a slash at its end is a folder's, as some services and consoles make them.
      for (const { Key = "", Size = 0, LastModified = new Date(0) } of page.filter(({ Key = "" }) => !Key.endsWith("/")))
        yield { name: nameOf(Key), size: Size, modified: LastModified, finished: true };
    }
  }

  async delete(names: readonly string[]): Promise<void> {
    const results = await removeFromS3(this.#s3, this.#objects, names.map(checkedName));
    for (const failure of results.values()) if (failure !== undefined) throw failure;
  }

  /** Also where an answer got lost and the service has completed it: names are not used twice, so these bytes are ours. */
  async #complete(upload: MultipartUpload, parts: readonly S3Part[], bytes: number): Promise<void> {
    try {
      await this.#objects.completeUpload(upload, parts);
    } catch (error) {
      const inDoubt = error instanceof BlobStoreError && (error.code === "NotFound" || error.code === "Unavailable");
      if (!inDoubt || (await this.#objects.sizeOf(upload.key)) !== bytes) throw error;
    }
  }
}

/** At least one; none but the last is smaller than `partSize` of its number. The last may be empty. */
async function* inParts(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<{ bytes: Uint8Array; last: boolean }> {
  let number = 1;
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    waiting.push(piece);
    size += piece.byteLength;
    if (size < partSize(number)) continue;
    yield { bytes: Buffer.concat(waiting), last: false };
    number++;
    waiting = [];
    size = 0;
  }
  yield { bytes: Buffer.concat(waiting), last: true };
}
