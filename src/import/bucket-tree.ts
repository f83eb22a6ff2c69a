// A registry's files in a bucket, as distribution's s3 driver lays them out: the same paths below a prefix.

import type { Readable } from "node:stream";

import { connectS3, type S3, type S3Connection } from "../registry/blobs/s3-client.ts";
import { SourceError, type SourceBlob } from "./import-source.ts";
import { wholeWithin, type LayoutTree } from "./layout-tree.ts";

export class BucketTree implements LayoutTree {
  readonly name: string;
  readonly #s3: S3;

  /** Credentials are found as the AWS SDK does unless `settings` has them. */
  static async connect(settings: S3Connection): Promise<BucketTree> {
    return new BucketTree(await connectS3(settings));
  }

  private constructor(s3: S3) {
    this.#s3 = s3;
    this.name = `s3://${s3.bucket}/${s3.prefix}`;
  }

  async folders(path: string): Promise<readonly string[]> {
    const { sdk, client } = this.#s3;
    const { Bucket, Key } = this.#at(path);
    const Prefix = Key === "" || Key.endsWith("/") ? Key : `${Key}/`;
    const names: string[] = [];
    let ContinuationToken: string | undefined;
    do {
      const request = new sdk.ListObjectsV2Command({
        Bucket,
        Prefix,
        Delimiter: "/",
        ...(ContinuationToken === undefined ? {} : { ContinuationToken }),
      });
      const page = await this.#ask(path, client.send(request));
      for (const { Prefix: found = "" } of page?.CommonPrefixes ?? []) names.push(found.slice(Prefix.length, -1));
      ContinuationToken = page?.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (ContinuationToken !== undefined);
    // Two slashes in a key make a folder without a name, which is no path of a registry.
    return names.filter((name) => name !== "");
  }

  /** There are no links. */
  async place(path: string): Promise<string> {
    return path;
  }

  async read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const found = await this.#get(path, 0);
    return found === undefined ? undefined : this.#ask(path, wholeWithin(path, found.body, maxBytes));
  }

  async has(path: string): Promise<boolean> {
    const { sdk, client } = this.#s3;
    return (await this.#ask(path, client.send(new sdk.HeadObjectCommand(this.#at(path))))) !== undefined;
  }

  async open(path: string, from: number): Promise<SourceBlob | undefined> {
    // A range of nothing is refused.
    const found = await this.#get(path, from);
    return found === undefined ? undefined : { ...found, body: this.#pieces(path, found.body) };
  }

  async close(): Promise<void> {
    this.#s3.client.destroy();
  }

  #at(path: string): { Bucket: string; Key: string } {
    return { Bucket: this.#s3.bucket, Key: `${this.#s3.prefix}${path}` };
  }

  async #get(path: string, from: number): Promise<(SourceBlob & { readonly body: Readable }) | undefined> {
    const { sdk, client } = this.#s3;
    const request = new sdk.GetObjectCommand({ ...this.#at(path), ...(from > 0 ? { Range: `bytes=${from}-` } : {}) });
    const answer = await this.#ask(path, client.send(request));
    if (answer === undefined) return undefined;
    // Some services answer a range with the whole, and with pieces of no stated length.
    const start = answer.$metadata.httpStatusCode === 206 ? from : 0;
    const size = answer.ContentLength === undefined ? undefined : start + answer.ContentLength;
    const body = answer.Body as Readable;
    return { body, start, size, discard: () => body.on("error", () => {}).destroy() };
  }

  async *#pieces(path: string, body: Readable): AsyncGenerator<Uint8Array> {
    try {
      yield* body as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw this.#failure(path, error);
    } finally {
      body.destroy();
    }
  }

  /** Undefined: there is no such object. */
  async #ask<T>(path: string, request: Promise<T>): Promise<T | undefined> {
    try {
      return await request;
    } catch (error) {
      const { name } = describe(error);
      // Not every 404: services say so also of buckets and users.
      if (name === "NoSuchKey" || name === "NotFound") return undefined;
      throw this.#failure(path, error);
    }
  }

  /** Names and statuses, never the service's own words: they may hold the signature. */
  #failure(path: string, error: unknown): SourceError {
    if (error instanceof SourceError) return error;
    const { name, status } = describe(error);
    const { bucket } = this.#s3;
    if (name === "NoSuchBucket") return unusable(`There is no bucket ${bucket}`, error);
    if (name === "CredentialsProviderError")
      return unusable("No credentials for S3 were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", error);
    if (status === 403 || status === 401 || status === 404 || name === "InvalidAccessKeyId" || name === "SignatureDoesNotMatch")
      return unusable(
        `The bucket ${bucket} may not be read with these credentials (${status} ${name}); s3:ListBucket and s3:GetObject are needed`,
        error,
      );
    if (status === 301 || status === 307 || name === "AuthorizationHeaderMalformed" || name === "PermanentRedirect")
      return unusable(`The bucket ${bucket} is in another region; name it with --region`, error);
    if (name === "InvalidBucketName") return unusable(`${bucket} is no name of a bucket`, error);
    if (status === 429 || status === 503)
      return new SourceError("Busy", `The bucket's service is busy (${status} ${name})`, { cause: error });
    if (status !== undefined)
      return new SourceError("Failing", `${this.name}${path} could not be read (${status} ${name})`, { cause: error });
    return new SourceError("Unreachable", `The bucket's service does not answer (${codeOf(error) ?? name})`, { cause: error });
  }
}

const unusable = (message: string, cause: unknown) => new SourceError("Unusable", message, { cause });
const codeOf = (error: unknown) => (error as { code?: string }).code;

function describe(error: unknown): { name: string; status: number | undefined } {
  const { name, $metadata } = error as { name?: unknown; $metadata?: { httpStatusCode?: unknown } };
  const status = $metadata?.httpStatusCode;
  return { name: typeof name === "string" ? name : "Error", status: typeof status === "number" ? status : undefined };
}
