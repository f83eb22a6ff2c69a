// `wharfinger registry` as real processes ("pods"): any number on one database and one bucket or folder.

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import { startSubcommand, type ServingProcess } from "./serving-process.ts";

export interface RegistryProcessOptions {
  /** As in a settings file; those of database and bucket too. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself, for example `--conditions=failpoints`. */
  readonly node?: readonly string[];
  /** Everybody may push, pull and delete; true by default. */
  readonly open?: boolean;
}

/** The settings' `storage.s3` of a test's service. */
export function bucketOf({ bucket, region, endpoint, prefix, forcePathStyle }: S3Settings): Record<string, unknown> {
  return { bucket, region, endpoint, prefix, forcePathStyle };
}

/** What the AWS SDK finds in the environment. */
export function credentialsOf({ credentials }: S3Settings): Record<string, string> {
  if (credentials === undefined || typeof credentials === "function") return {};
  return { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };
}

/** Resolves when it serves; rejects with its last words when it ends before. The control API's token is `processToken`. */
export function startRegistryProcess({ open = true, args = [], ...options }: RegistryProcessOptions): Promise<ServingProcess> {
  return startSubcommand("registry", {
    ...options,
    args: [...(open ? ["--allow-anonymous"] : []), ...args],
    tokenOption: "--admin-token-file",
    ready: "Serving on ",
  });
}
