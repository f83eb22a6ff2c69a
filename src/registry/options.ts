// What a registry process is given.

import type { ControlPlaneStatus } from "../api/control/record.ts";
import type { ResourceView } from "../api/control/resources.ts";
import type { ListenAddress } from "../config/listen.ts";
import type { Settings } from "../config/settings.ts";
import type { SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import type { DatabaseOptions } from "./metadata/database-options.ts";
import type { CertificateFiles } from "./http/listening/certificate.ts";
import type { S3Settings } from "./blobs/s3-settings.ts";
import type { ReadinessCheck } from "./services/upkeep/readiness.ts";

/** Read at each question. */
export interface ControlPlaneView {
  /** Each resource with its conditions. */
  resources(): readonly ResourceView[];
  /** What Git holds and what waits; undefined before the control plane has looked. */
  status(): ControlPlaneStatus | undefined;
}

export interface RegistryOptions {
  /** `onTrouble` is the registry's: it goes to the log. */
  readonly database: Omit<DatabaseOptions, "onTrouble">;
  /** A database of our own lies here: before its volume is full nothing is written to it (`database.lowWaterBytes`). */
  readonly databaseFolder?: string;
  /** Where the bytes lie: one process's folder, or a bucket that any number of processes share. */
  readonly blobs: { readonly folder: string } | { readonly s3: S3Settings };
  /** Of the images, and of everything that has no listener of its own. */
  readonly listen: ListenAddress;
  /** Of the control API. */
  readonly controlListen?: ListenAddress;
  /** Of probes and metrics, which need no token there. */
  readonly adminListen?: ListenAddress;
  readonly settings: Settings;
  readonly secrets: SecretSource;
  /** Bearer token of the control API; undefined: those whom the settings name use it with tokens of their own. */
  readonly adminToken?: string | undefined;
  /** Standalone: what the control plane knows, since there is no API server to ask. */
  readonly controlPlane?: ControlPlaneView;
  /** The name of this process among those of the database, no other's at the same time. Without one it gets a fresh name. */
  readonly pod?: string;
  /**
   * No other process serves this database, and no job outlives this one: what happens is known here, so the database is not asked every
   * second what others did, and runs that are under way at the start are ended, whoever started them.
   */
  readonly alone?: boolean;
  /** The listener is on a loopback address: everything is allowed until the first AccessPolicy ever, and only names of this machine are taken as Host. */
  readonly openOnLoopback: boolean;
  /** The same on any address, because somebody said so. */
  readonly allowAnonymous: boolean;
  /** A person said that the store goes with this database, whatever its marker says. */
  readonly acceptStore?: boolean;
  /** Ends the command that restores the metadata in messages, so that it works on this installation: ` --data other`. */
  readonly commandFlags?: string;
  /** Called with what each look at its parts found: whenever somebody asks whether it is ready. */
  readonly looked?: (checks: readonly ReadinessCheck[]) => void;
  /** Called when everything is there, before it listens. */
  readonly beforeListening?: () => Promise<void>;
  readonly version: string;
  readonly logger: Logger;
  /** Upstreams at private addresses may be asked: who names them owns the process (standalone). */
  readonly trustUpstreamHosts?: boolean;
  /** Longest time for running transfers at a stop, milliseconds. */
  readonly grace?: number;
  /** Of `listen` and `controlListen`; without it they speak plain HTTP. */
  readonly tls?: CertificateFiles;
  /** Connections open at once; by default what the process has descriptors and memory for. */
  readonly connections?: { readonly data: number; readonly control: number };
  /** Time for the headers of a request, milliseconds; 15 s by default. */
  readonly headersTimeout?: number;
}
