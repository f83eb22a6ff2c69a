// A blob store whose service is a real one behind a hop that does to chosen requests what networks and services do.

import { randomBytes } from "node:crypto";

import { S3BlobStore } from "../../src/registry/blobs/s3-store.ts";
import { startFaultyHop, type FaultyHop } from "./faulty-hop.ts";
import { startS3Service, type S3Service } from "./s3-service.ts";
import { readWhole, unannounced, writeWhole } from "./whole-blobs.ts";

export const mebibyte = 1024 * 1024;

/** One request, and an upload of two parts. */
export const small = randomBytes(1000);
export const large = randomBytes(10 * mebibyte);

/** One service for a file; a hop and a store for each test. */
export class S3BehindHop {
  readonly service: S3Service;
  hop!: FaultyHop;
  store!: S3BlobStore;

  private constructor(service: S3Service) {
    this.service = service;
  }

  static async start(): Promise<S3BehindHop> {
    return new S3BehindHop(await startS3Service());
  }

  async open(): Promise<void> {
    this.hop = await startFaultyHop(this.service.settings.endpoint ?? "");
    this.store = await this.another();
  }

  async close(): Promise<void> {
    await this.store.close();
    await this.hop.stop();
  }

  stop(): Promise<void> {
    return this.service.stop();
  }

  /** Another store on the same bucket, behind the same hop. */
  another(options: Partial<Parameters<typeof S3BlobStore.open>[0]> = {}): Promise<S3BlobStore> {
    return S3BlobStore.open({ ...this.service.settings, endpoint: this.hop.url, ...options });
  }

  put(bytes: Buffer, into = this.store): Promise<string> {
    return writeWhole(into, bytes);
  }

  content(key: string, from = this.store): Promise<Buffer> {
    return readWhole(from, key);
  }

  /** An upload of these bytes that its writer has left. */
  async suspended(...pieces: readonly Buffer[]) {
    const writer = await this.store.create(unannounced);
    await writer.write(pieces);
    const suspended = await writer.suspend();
    await writer.close();
    return suspended;
  }
}
