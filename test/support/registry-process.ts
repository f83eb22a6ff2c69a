// `wharfinger registry` as real processes ("pods"): any number on one database and one bucket or folder.

import { expect } from "vitest";

import type { S3Settings } from "../../src/registry/blobs/s3-settings.ts";
import { freePort } from "./distribution.ts";
import { eventually } from "./eventually.ts";
import { send } from "./http.ts";
import { startSubcommand, type Launched, type ServingProcess } from "./serving-process.ts";

export interface RegistryProcessOptions {
  /** As in a settings file; those of database and bucket too. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself, for example `--conditions=failpoints`. */
  readonly node?: readonly string[];
  /** Everybody may push, pull and delete; true by default. */
  readonly open?: boolean;
  /** It has the admin token `processToken`; true by default. */
  readonly token?: boolean;
  readonly launched?: (process: Launched) => void;
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

export interface WaitingRegistry {
  readonly serving: Promise<ServingProcess>;
  /** What is in its way, `Reason: sentence`; undefined: it does not say. */
  obstacle(): Promise<string | undefined>;
  /** Resolves when that is like this. */
  readonly says: (obstacle: RegExp) => Promise<void>;
  logs(): string;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number>;
}

/** One that may not be able to serve yet: its probes say why. */
export async function startWaitingRegistry(options: RegistryProcessOptions): Promise<WaitingRegistry> {
  const probes = `127.0.0.1:${await freePort()}`;
  const launched = Promise.withResolvers<Launched>();
  const args = [...(options.args ?? []), "--admin-listen", probes];
  const serving = startRegistryProcess({ ...options, args, launched: launched.resolve });
  serving.catch(() => undefined);
  const { stop, logs } = await launched.promise;
  const obstacle = async () => {
    const answer = await send(`http://${probes}`, "GET", "/readyz").catch(() => undefined);
    if (answer?.status !== 503) return undefined;
    const { checks } = JSON.parse(answer.body.toString()) as { checks: readonly { name: string; message: string }[] };
    return checks.find(({ name }) => name === "start")?.message;
  };
  const says = (expected: RegExp) => eventually(async () => expect(await obstacle()).toMatch(expected));
  return { serving, obstacle, says, logs, stop };
}

/** Resolves when it serves; rejects with its last words when it ends before. The control API's token is `processToken`. */
export function startRegistryProcess({
  open = true,
  token = true,
  args = [],
  ...options
}: RegistryProcessOptions): Promise<ServingProcess> {
  return startSubcommand("registry", {
    ...options,
    args: [...(open ? ["--allow-anonymous"] : []), ...args],
    tokenOption: token ? "--admin-token-file" : undefined,
    ready: "Serving on ",
  });
}
