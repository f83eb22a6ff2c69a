// The requests about one object.

import type { Readable } from "node:stream";

import type { S3 } from "./s3-client.ts";
import { asking } from "./s3-errors.ts";
import type { From, ObjectBody } from "./s3-reader.ts";
import type { S3Part } from "./s3-state.ts";
import { BlobStoreError } from "./blob-store.ts";

export interface MultipartUpload {
  readonly key: string;
  readonly id: string;
}

export class S3Objects {
  readonly #s3: S3;
  readonly #folder: string;

  /** `folder`: where its keys are, below the prefix of the installation. */
  constructor(s3: S3, folder: "blobs/" | "") {
    this.#s3 = s3;
    this.#folder = folder;
  }

  /** Bucket and name of `key`. */
  at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#s3.bucket, Key: `${this.#s3.prefix}${this.#folder}${key}` };
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const { sdk, client } = this.#s3;
    await asking(
      "store an object",
      client.send(new sdk.PutObjectCommand({ ...this.at(key), Body: bytes, ContentLength: bytes.byteLength })),
    );
  }

  /** Bytes; undefined when there is no such object. */
  async sizeOf(key: string): Promise<number | undefined> {
    const { sdk, client } = this.#s3;
    try {
      return (await asking("look at an object", client.send(new sdk.HeadObjectCommand(this.at(key))))).ContentLength;
    } catch (error) {
      if (error instanceof BlobStoreError && error.code === "NotFound") return undefined;
      throw error;
    }
  }

  async beginUpload(key: string): Promise<string> {
    const { sdk, client } = this.#s3;
    const { UploadId } = await asking("begin an upload", client.send(new sdk.CreateMultipartUploadCommand(this.at(key))));
    if (UploadId === undefined) throw new BlobStoreError("Failed", "The bucket's service began an upload without a name.");
    return UploadId;
  }

  /** The etag of the part. */
  async putPart(upload: MultipartUpload, number: number, bytes: Uint8Array): Promise<string> {
    const { sdk, client } = this.#s3;
    const part = { ...this.at(upload.key), UploadId: upload.id, PartNumber: number, Body: bytes, ContentLength: bytes.byteLength };
    const { ETag } = await asking("store a part", client.send(new sdk.UploadPartCommand(part)).catch(partOfAnother));
    if (ETag === undefined) throw new BlobStoreError("Failed", "The bucket's service stored a part without an etag.");
    return ETag;
  }

  /** Bytes of another object of `size` bytes (`end` exclusive) as a part. Rejects with Failed where the service copies none. */
  async copyPart(
    upload: MultipartUpload,
    number: number,
    from: { readonly key: string; readonly size: number; readonly start: number; readonly end: number },
  ): Promise<string> {
    const { sdk, patient } = this.#s3;
    const { Bucket, Key } = this.at(from.key);
    // Of small objects AWS copies no range.
    const range = from.end - from.start === from.size ? {} : { CopySourceRange: `bytes=${from.start}-${from.end - 1}` };
    const source = { CopySource: `${Bucket}/${Key}`, ...range };
    const request = new sdk.UploadPartCopyCommand({ ...this.at(upload.key), UploadId: upload.id, PartNumber: number, ...source });
    const { CopyPartResult } = await asking("copy a part", patient.send(request));
    if (CopyPartResult?.ETag === undefined) throw new BlobStoreError("Failed", "The bucket's service copied a part without an etag.");
    return CopyPartResult.ETag;
  }

  async completeUpload(upload: MultipartUpload, parts: readonly S3Part[]): Promise<void> {
    const { sdk, patient } = this.#s3;
    const Parts = parts.map(({ etag }, index) => ({ ETag: etag, PartNumber: index + 1 }));
    const request = { ...this.at(upload.key), UploadId: upload.id, MultipartUpload: { Parts } };
    await asking("complete an upload", patient.send(new sdk.CompleteMultipartUploadCommand(request)));
  }

  /** Bytes of an object, to its end when none is named. `etag`: of the object as it was opened. */
  async get(key: string, { start, end }: From, etag?: string): Promise<ObjectBody> {
    const { sdk, client } = this.#s3;
    const range = start === 0 && end === undefined ? {} : { Range: `bytes=${start}-${end === undefined ? "" : end - 1}` };
    const only = etag === undefined ? {} : { IfMatch: etag };
    const request = new sdk.GetObjectCommand({ ...this.at(key), ...range, ...only });
    const { Body, ContentLength = 0, ContentRange, ETag } = await asking("read an object", client.send(request));
    const body = Body as Readable;
    const given = ContentRange === undefined ? undefined : /^bytes (\d+)-\d+\/(\d+)$/.exec(ContentRange);
    // Who gets a part cannot check it by its digest, so what was not asked for is not passed on.
    if (given === null || Number(given?.[1] ?? 0) !== start) {
      body.destroy();
      throw new BlobStoreError("Unavailable", "The bucket's service gave other bytes of an object than were asked for.");
    }
    return { body, size: given === undefined ? ContentLength : Number(given[2]), etag: ETag };
  }
}

/** Some services store a part once: where an upload was begun another writer has stored this one, with other bytes. */
function partOfAnother(error: unknown): never {
  if (!(error instanceof Error) || error.name !== "NotImplemented") throw error;
  throw new BlobStoreError("NotFound", "Another writer has stored this part of the upload.", { cause: error });
}
