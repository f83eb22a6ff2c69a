// The client of an S3-compatible service. The SDK is loaded only where a bucket is configured: it costs 33 MiB.

import type { S3Client } from "@aws-sdk/client-s3";

import type { S3Settings } from "./s3-settings.ts";

export type S3Sdk = typeof import("@aws-sdk/client-s3");

export interface S3 {
  readonly sdk: S3Sdk;
  readonly client: S3Client;
  /** For requests that the service may think about in silence for long: it may have to copy all that an upload has. */
  readonly patient: S3Client;
  readonly bucket: string;
  /** Prefix of every key of this installation, empty or with a slash at its end. */
  readonly prefix: string;
}

/** What a connection needs of the settings of a store. */
export type S3Connection = Omit<S3Settings, "spoolFolder" | "partMemory">;

/** Attempts of one request, with pauses that double and vary. */
const attempts = 4;
const connectTimeout = 5_000;
/** Milliseconds without a byte in either direction. */
const silence = 30_000;
const patience = 600_000;

export async function connectS3(settings: S3Connection): Promise<S3> {
  const sdk = await import("@aws-sdk/client-s3");
  const connect = (socketTimeout: number) =>
    new sdk.S3Client({
      ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
      region: settings.region,
      forcePathStyle: settings.forcePathStyle,
      ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
      maxAttempts: attempts,
      // The newer checksums are unknown to older servers; every byte is hashed here and again by the audit.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: connectTimeout,
        // Not `requestTimeout`, which logs and waits on, and would count how long a slow client reads.
        socketTimeout,
        // A slow reader holds its connection for as long as it reads.
        httpAgent: { keepAlive: true, maxSockets: settings.connections },
        httpsAgent: { keepAlive: true, maxSockets: settings.connections },
      },
    });
  const client = connect(settings.silenceTimeout ?? silence);
  return { sdk, client, patient: connect(patience), bucket: settings.bucket, prefix: settings.prefix };
}
