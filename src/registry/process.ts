// `wharfinger registry`: one of any number of equal processes, with database, bytes and keys by settings (architecture.md, "Roles").

import { mkdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { ListenAddress } from "../config/listen.ts";
import type { BucketSettings, Settings } from "../config/settings.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import type { S3Settings } from "./blobs/s3-settings.ts";
import { Obstacles, type Announce } from "../observability/obstacles.ts";
import { openWhole, type Closing } from "./closing.ts";
import type { CertificateFiles } from "./http/listening/certificate.ts";
import { startRegistry, type RunningRegistry } from "./main.ts";
import { openMountedSecrets } from "./mounted-secrets.ts";
import type { RegistryOptions } from "./options.ts";
import { startPatiently } from "./patient-start.ts";
import { principalsOf } from "./principals.ts";
import type { ReadinessCheck } from "./services/upkeep/readiness.ts";

/** Database, place for the bytes and token that the process brings itself, so that the settings name none. */
export interface OwnParts extends Pick<RegistryOptions, "database" | "databaseFolder"> {
  readonly blobs: { readonly folder: string };
  /** The token of the control API where no file is named. */
  readonly adminToken: () => Promise<string>;
  /** Ends the command lines in messages. */
  readonly commandFlags: string;
  /** Tells commands on this machine where the control API is. */
  readonly announce: (url: string) => Promise<void>;
  /** Resolves when one of them has ended by itself. */
  readonly failed: Promise<Error>;
}

export interface RegistryProcessOptions {
  readonly listen: ListenAddress;
  /** Of the control API, where it is not on `listen`. */
  readonly controlListen?: ListenAddress;
  /** Of probes and metrics, where they are not on `listen`. */
  readonly adminListen?: ListenAddress;
  /** Of both; without it they speak plain HTTP. */
  readonly tls?: CertificateFiles;
  readonly settings: Settings;
  /** Opens them; without it database and bytes are where the settings say. */
  readonly ownParts?: (closing: Closing) => Promise<OwnParts>;
  /** File with the token of the control API. */
  readonly adminTokenFile?: string;
  /** Folder with the Secrets that resources name. */
  readonly secrets?: string;
  readonly allowAnonymous: boolean;
  readonly acceptStore: boolean;
  /** Ends the command lines in messages. */
  readonly commandFlags: string;
  readonly version: string;
  /** Aborted: it waits no more. */
  readonly signal: AbortSignal;
  /** Events of the Pod that this runs in; undefined: there is none, or nobody may write them. */
  readonly announce?: Announce | undefined;
  readonly logger: Logger;
}

const shortestToken = 32;
/** Parts of uploads that are on their way to the bucket, bytes of memory. */
const partMemory = 128 * 1024 * 1024;
/** Files with credentials are read again this often, milliseconds. */
const credentialsHold = 300_000;

export interface RegistryProcess extends RunningRegistry {
  /** Resolves when a part of its own has ended by itself; the rest still runs. */
  readonly failed?: Promise<Error>;
}

/**
 * Waits for database and store for as long as it takes (patient-start.ts). Rejects with an Error that says what to do where another configuration
 * is needed, and when `signal` is aborted; nothing stays open then.
 */
export async function startRegistryProcess(options: RegistryProcessOptions): Promise<RegistryProcess> {
  const { settings, listen, adminListen, tls, ownParts, signal, announce, logger } = options;
  principalsOf(settings);
  if (ownParts === undefined) {
    databaseOf(settings);
    await blobsOf(settings);
  }
  const givenToken = await givenTokenOf(options);
  const obstacles = new Obstacles({ logger, announce, over });
  const looked = (checks: readonly ReadinessCheck[]) => {
    const failing = checks.find(({ name, ready }) => !ready && name in unavailable);
    if (failing === undefined) obstacles.overcome();
    else obstacles.meet({ reason: unavailable[failing.name] ?? "", message: `${failing.name}: ${failing.message}.` });
  };
  return startPatiently({
    attempt: (beforeListening) => openWhole((closing) => start({ ...options, givenToken, beforeListening, looked }, closing)),
    listen,
    adminListen,
    tls,
    adminToken: givenToken,
    signal,
    obstacles,
    logger,
  });
}

const over = { reason: "Ready", message: "What was in the way is gone: the registry serves." };
/** Of a process that serves, by the name of the check. */
const unavailable: Readonly<Record<string, string>> = { database: "DatabaseUnavailable", blobs: "StoreUnavailable" };

interface Attempt extends RegistryProcessOptions, Pick<RegistryOptions, "beforeListening" | "looked"> {
  readonly givenToken: string | undefined;
}

async function start(options: Attempt, closing: Closing): Promise<RegistryProcess> {
  const { settings, listen, controlListen, adminListen, tls, allowAnonymous, acceptStore, version, logger } = options;
  const { givenToken, beforeListening, looked } = options;
  const own = await options.ownParts?.(closing);
  const adminToken = givenToken ?? (await own?.adminToken());
  const commandFlags = own?.commandFlags ?? options.commandFlags;
  const registry = await startRegistry({
    database: own?.database ?? databaseOf(settings),
    databaseFolder: own?.databaseFolder,
    blobs: own?.blobs ?? (await blobsOf(settings)),
    listen,
    ...(controlListen === undefined ? {} : { controlListen }),
    ...(adminListen === undefined ? {} : { adminListen }),
    ...(tls === undefined ? {} : { tls }),
    settings,
    secrets: await secretsOf(options, closing),
    adminToken,
    openOnLoopback: false,
    allowAnonymous,
    acceptStore,
    commandFlags,
    beforeListening,
    looked,
    version,
    logger,
  });
  closing.add(() => registry.stop());
  await own?.announce(registry.controlUrl);
  return { ...registry, stop: () => closing.run(), failed: own?.failed };
}

/** Undefined: others are named who may do what it may, or it is brought. Rejects with an Error that says what to do. */
async function givenTokenOf({ adminTokenFile, ownParts, settings }: RegistryProcessOptions): Promise<string | undefined> {
  const { admins, operator } = settings.access;
  if (adminTokenFile === undefined) {
    if (ownParts !== undefined || admins.length > 0 || operator !== undefined) return undefined;
    throw new Error(
      "Nobody could use the control API: give a token with --admin-token-file, or say in access.operator or access.admins of the settings who may.",
    );
  }
  const token = await readSecretFile(adminTokenFile, "the admin token");
  if (token.length >= shortestToken) return token;
  throw new Error(
    `The admin token in ${adminTokenFile} has fewer than ${shortestToken} characters. Make one with: openssl rand -base64 32`,
  );
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
  const { url, urlFile } = database;
  if (url !== undefined && urlFile !== undefined)
    throw new Error("The settings have database.url and database.urlFile, and each names the database: take one of them out.");
  if (url === undefined && urlFile === undefined) {
    throw new Error(
      "The settings have no database.url (or database.urlFile): name the PostgreSQL database, or give a folder for one of its own with --data.",
    );
  }
  return database;
}

async function readSecretFile(file: string, what: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${file} with ${what} cannot be read (${cause.code ?? cause.message}).`, { cause });
  });
  if (text.trim() === "") throw new Error(`${file} should hold ${what}, and is empty.`);
  return text.trim();
}
