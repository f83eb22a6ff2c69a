// The client of an S3-compatible service. The SDK is loaded only where a bucket is configured: it costs 33 MiB.

import type { S3Client } from "@aws-sdk/client-s3";

import type { S3Settings } from "./s3-settings.ts";

export type S3Sdk = typeof import("@aws-sdk/client-s3");

export interface S3 {
  readonly sdk: S3Sdk;
  readonly client: S3Client;
  readonly bucket: string;
  /** Prefix of every key of this installation, empty or with a slash at its end. */
  readonly prefix: string;
}

/** What a connection needs of the settings of a store. */
export type S3Connection = Omit<S3Settings, "spoolFolder" | "partMemory">;

/** Attempts of one request, with pauses that double and vary. */
const attempts = 4;
const connectTimeout = 5_000;
/** Milliseconds without a byte from the service. */
const silenceTimeout = 30_000;

export async function connectS3(settings: S3Connection): Promise<S3> {
  const sdk = await import("@aws-sdk/client-s3");
  const client = new sdk.S3Client({
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
      requestTimeout: silenceTimeout,
      // A slow reader holds its connection for as long as it reads.
      httpAgent: { keepAlive: true, maxSockets: settings.connections },
      httpsAgent: { keepAlive: true, maxSockets: settings.connections },
    },
  });
  return { sdk, client, bucket: settings.bucket, prefix: settings.prefix };
}
