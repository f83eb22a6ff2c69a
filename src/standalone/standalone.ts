// Everything in one process, wired by hand: database, registry, control plane, jobs, and the folder that configures them.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { ControlClient } from "../client/control-client.ts";
import { localUrl, type ListenAddress } from "../config/listen.ts";
import type { Settings } from "../config/settings.ts";
import type { Logger } from "../observability/logger.ts";
import { startControlPlane, type ControlPlane } from "../operator/control-plane.ts";
import { byCommand } from "../operator/persons-word.ts";
import { shownStatus } from "../operator/rounds/record-status.ts";
import { recordOptionsOf } from "../record/remote-options.ts";
import { openRecord } from "../record/repository.ts";
import { startRegistry } from "../registry/main.ts";
import { openWhole, type Closing } from "../registry/closing.ts";
import { tryAddress } from "../registry/http/listening/free-address.ts";
import { dataFlag, openDataFolder } from "./data-folder.ts";
import { startEmbedded } from "./embedded.ts";
import { isLoopback, refuseOpenAddress } from "./exposure.ts";
import { openFolderSource } from "./folder-source.ts";
import { createJobRunner } from "./job-runner.ts";
import { summaryLine } from "./summary.ts";

export interface StandaloneOptions {
  readonly listen: ListenAddress;
  /** Data folder; made when it is missing. */
  readonly data: string;
  /** Folder with the resources. */
  readonly config?: string;
  readonly settings: Settings;
  readonly allowAnonymous: boolean;
  readonly acceptStore: boolean;
  readonly logger: Logger;
  readonly version: string;
  /** Aborted: whatever is being started is stopped again. */
  readonly signal: AbortSignal;
  /** `work` ends what would outlive a process that dies at once. Called as soon as there is something. */
  readonly beforeForcedExit: (work: () => void) => void;
}

export interface Standalone {
  readonly url: string;
  /** For the person who started it. */
  readonly summary: string;
  /** Resolves when a part has ended by itself; the rest still runs. */
  readonly failed: Promise<Error>;
  /** In order: nothing new, running transfers to their end or the grace period, the database last. */
  stop(): Promise<void>;
}

/** Rejects with an Error that says what to do; nothing stays open then. */
export function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  return openWhole((closing) => start(options, closing));
}

async function start(options: StandaloneOptions, closing: Closing): Promise<Standalone> {
  const { listen, settings, logger, signal, allowAnonymous } = options;
  const loopback = await isLoopback(listen);
  const folder = await openDataFolder(options.data);
  closing.add(() => folder.release());
  const adminToken = await folder.adminToken();
  const source = await openFolderSource(await configurationFolder(options), { logger });
  closing.add(() => source.close());
  const accessPolicies =
    source.snapshot().resources.filter(({ kind }) => kind === "AccessPolicy").length + (await recordedAccessPolicies(folder.record));
  refuseOpenAddress({ listen, loopback, accessPolicies, allowAnonymous });
  if (allowAnonymous && !loopback)
    logger.warn("--allow-anonymous: until the first AccessPolicy everybody who reaches the address may pull, push and delete");
  // A database is made in seconds: who has to choose another port hears of it at once.
  await tryAddress({ ...listen, option: "--listen" });

  signal.throwIfAborted();
  const { failed, ...embedded } = await startEmbedded({ folder, logger, signal, beforeForcedExit: options.beforeForcedExit, closing });

  signal.throwIfAborted();
  // Without it nothing is decided: what was published is served.
  const record = settings.readOnly
    ? undefined
    : await openRecord({ folder: folder.record, ...recordOptionsOf(settings.record, source), logger });
  if (record !== undefined) closing.add(() => record.close());

  signal.throwIfAborted();
  let plane: ControlPlane | undefined; // started last: it is a client of the registry
  const registry = await startRegistry({
    ...embedded,
    listen,
    settings,
    secrets: source,
    adminToken,
    controlPlane: { resources: () => plane?.views() ?? [], status: () => (plane === undefined ? undefined : shownStatus(plane.record())) },
    pod: "standalone",
    alone: true,
    openOnLoopback: loopback,
    allowAnonymous,
    acceptStore: options.acceptStore,
    commandFlags: dataFlag(options.data),
    version: options.version,
    logger,
    // Who writes the folder's Upstreams owns the process: nothing is gained by refusing private addresses.
    trustUpstreamHosts: true,
  });
  closing.add(() => registry.stop());

  const url = localUrl({ host: listen.host, port: Number(new URL(registry.url).port) });
  const control = new ControlClient({ url, token: adminToken });
  closing.add(() => control.close());
  let revision: string | null;
  if (record === undefined) ({ revision } = await control.record());
  else {
    plane = await startControlPlane({
      source,
      secrets: source,
      users: { ...settings.access.users.secretRef, robots: settings.access.robots.secretRef },
      issuers: settings.auth.issuers,
      record,
      client: control,
      jobs: createJobRunner({ url, token: adminToken, logger }),
      jobsAtOnce: settings.jobs.maxConcurrent,
      logger,
      tenants: settings.tenants,
      appliedBy: "wharfinger-serve",
      howToSay: (decision, commit) => `${byCommand(decision, commit)}${dataFlag(options.data)}`,
    });
    closing.add(plane.stop.bind(plane));
    const { problem, ...ready } = await plane.ready;
    if (problem !== undefined) logger.error(`what Git says is not served yet: ${problem}; it is tried again`);
    revision = ready.revision;
  }
  await folder.announce(url);
  return {
    url,
    summary: summaryLine({ url, upstreams: await control.upstreams(), record: join(options.data, "record"), revision }),
    failed,
    stop: () => closing.run(),
  };
}

/** The folder that was named, or `config`, or the quickstart that comes with the program. */
async function configurationFolder({ config, logger }: StandaloneOptions): Promise<string> {
  if (config !== undefined) return config;
  if (existsSync("config")) return "config";
  const quickstart = fileURLToPath(new URL("../../examples/quickstart", import.meta.url));
  logger.info(
    `serving the quickstart that comes with the program (${relative(process.cwd(), quickstart)}); your own resources: --config DIR`,
  );
  return quickstart;
}

/** Policies of a folder that is not mounted at this moment, or of an installation before. */
async function recordedAccessPolicies(record: string): Promise<number> {
  const files = await readdir(join(record, "accesspolicies"), { recursive: true }).catch(() => []);
  return files.filter((file) => file.endsWith(".yaml")).length;
}
