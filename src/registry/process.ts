// `wharfinger registry`: one of any number of equal processes, with database, bytes and keys by settings (architecture.md, "Roles").

import { mkdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { ListenAddress } from "../config/listen.ts";
import type { BucketSettings, Settings } from "../config/settings.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import type { S3Settings } from "./blobs/s3-settings.ts";
import { openWhole, type Closing } from "./closing.ts";
import { startRegistry, type RunningRegistry } from "./main.ts";
import { openMountedSecrets } from "./mounted-secrets.ts";
import type { RegistryOptions } from "./options.ts";

export interface RegistryProcessOptions {
  readonly listen: ListenAddress;
  readonly settings: Settings;
  /** File with the token of the control API. */
  readonly adminTokenFile: string;
  /** Folder with the Secrets that resources name. */
  readonly secrets?: string;
  readonly allowAnonymous: boolean;
  readonly acceptStore: boolean;
  /** Ends the command lines in messages. */
  readonly commandFlags: string;
  readonly version: string;
  readonly logger: Logger;
}

const shortestToken = 32;
/** Parts of uploads that are on their way to the bucket, bytes of memory. */
const partMemory = 128 * 1024 * 1024;
/** Files with credentials are read again this often, milliseconds. */
const credentialsHold = 300_000;

/** Rejects with an Error that says what to do; nothing stays open then. */
export function startRegistryProcess(options: RegistryProcessOptions): Promise<RunningRegistry> {
  return openWhole((closing) => start(options, closing));
}

async function start(options: RegistryProcessOptions, closing: Closing): Promise<RunningRegistry> {
  const { settings, listen, allowAnonymous, acceptStore, commandFlags, version, logger } = options;
  const database = databaseOf(settings);
  const adminToken = await readSecretFile(options.adminTokenFile, "the admin token");
  if (adminToken.length < shortestToken)
    throw new Error(
      `The admin token in ${options.adminTokenFile} has fewer than ${shortestToken} characters. Make one with: openssl rand -base64 32`,
    );
  const registry = await startRegistry({
    database,
    blobs: await blobsOf(settings),
    listen,
    settings,
    secrets: await secretsOf(options, closing),
    adminToken,
    openOnLoopback: false,
    allowAnonymous,
    acceptStore,
    commandFlags,
    version,
    logger,
  });
  closing.add(() => registry.stop());
  return { url: registry.url, stop: () => closing.run() };
}

async function secretsOf({ secrets, logger }: RegistryProcessOptions, closing: Closing): Promise<SecretSource> {
  if (secrets === undefined) return { secret: () => undefined, configMap: () => undefined, onChange: () => () => undefined };
  const mounted = await openMountedSecrets(secrets, { logger });
  closing.add(async () => mounted.close());
  return mounted;
}

/** Rejects with an Error that says which setting is wrong. */
export async function blobsOf({ storage, spool }: Settings): Promise<RegistryOptions["blobs"]> {
  const { folder, s3 } = storage;
  if ((folder === undefined) === (s3 === undefined))
    throw new Error("The settings need one place for the bytes: storage.s3 (any number of processes) or storage.folder (one process).");
  if (s3 === undefined) return { folder: folder ?? "" };
  const spoolFolder = spool.folder ?? join(tmpdir(), "wharfinger-spool");
  await mkdir(spoolFolder, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`spool.folder ${spoolFolder} cannot be used (${cause.code ?? cause.message}).`, { cause });
  });
  return { s3: { ...s3, ...(await credentialsOf(s3)), spoolFolder, partMemory } };
}

/** Files that are replaced while the process runs take effect: a Secret's mount. */
async function credentialsOf({ accessKeyIdFile, secretAccessKeyFile }: BucketSettings): Promise<Pick<S3Settings, "credentials">> {
  if (accessKeyIdFile === undefined || secretAccessKeyFile === undefined) return {};
  const read = async () => ({
    accessKeyId: await readSecretFile(accessKeyIdFile, "the access key id"),
    secretAccessKey: await readSecretFile(secretAccessKeyFile, "the secret access key"),
    expiration: new Date(Date.now() + credentialsHold),
  });
  await read(); // a missing file is said at the start
  return { credentials: read };
}

/** Throws an Error that says which setting is wrong. */
export function databaseOf({ database }: Settings): RegistryOptions["database"] {
  const { url } = database;
  if (url === undefined)
    throw new Error(
      "The settings have no database.url: name the PostgreSQL database, or use `npx wharfinger serve`, which brings its own.",
    );
  return { ...database, url };
}

async function readSecretFile(file: string, what: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${file} with ${what} cannot be read (${cause.code ?? cause.message}).`, { cause });
  });
  if (text.trim() === "") throw new Error(`${file} should hold ${what}, and is empty.`);
  return text.trim();
}
