// When snapshots of the metadata are taken: every interval by one process of any number, before a migration, and when a person asks.

import { setTimeout as sleep } from "node:timers/promises";

import type { BackupLine, ListedSnapshot, SnapshotView } from "../../../api/control/backup.ts";
import { compareNames } from "../../../domain/retention/words.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { NamedObjects } from "../../blobs/named-objects.ts";
import { codeOf, type Database } from "../../metadata/database.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { isSnapshotDue, noteSnapshot, readInstallation, readSnapshotAge } from "../../metadata/installation.ts";
import { pendingMigrations, unknownMigrations } from "../../metadata/migrate.ts";
import { giveBackTurn, takeTurn } from "../../metadata/turns.ts";
import { readSnapshots, timeOf, type SnapshotReason, type StoredSnapshot } from "./snapshot-manifest.ts";
import { pruneSnapshots, takeSnapshot, type SnapshotOptions } from "./snapshots.ts";
import type { Turn } from "./turn.ts";

export interface BackupTimes {
  /** Milliseconds between two snapshots; 0: none are taken by themselves. */
  readonly interval: number;
  /** How many are kept. */
  readonly keep: number;
}

export interface BackupOptions {
  readonly database: Database;
  readonly named: NamedObjects;
  readonly times: BackupTimes;
  readonly version: string;
  readonly logger: Logger;
}

const hour = 3_600_000;
/** Milliseconds between two looks whether one is due. */
const lookEvery = 60_000;
/** A turn before a migration, milliseconds; it is kept while the snapshot is written. */
const turnHolds = 60_000;

/**
 * How long bytes stay after their last reference went, milliseconds: at least until a snapshot that was taken before that is not the newest one
 * any more, and a day for a person to notice (storage.md, G2). So whatever the newest snapshot names is still there, as long as one is written at
 * least that often: the collector does not wait for one, or a full disk would stay full. `wharfinger_snapshot_age_seconds` tells.
 */
export function doomDelayBeside({ interval }: BackupTimes, doomDelay: number): number {
  return interval === 0 ? doomDelay : Math.max(doomDelay, interval + 24 * hour);
}

export class Backup {
  readonly #options: BackupOptions;
  readonly #turn: Turn;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;
  /** Seconds, and when by the monotonic clock it was that. */
  #age: { readonly seconds: number; readonly at: number } | undefined;

  constructor(options: BackupOptions & { readonly turn: Turn }) {
    this.#options = options;
    this.#turn = options.turn;
  }

  start(): void {
    this.#running = this.#measure().finally(() => this.#schedule());
  }

  /** Seconds since the newest snapshot was begun, whichever process took it (metadata/installation.ts, `readSnapshotAge`). */
  get age(): number | undefined {
    return this.#age === undefined ? undefined : this.#age.seconds + (performance.now() - this.#age.at) / 1000;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Takes one when it is due and this process has the turn; what fails is logged and tried again. */
  async takeDue(): Promise<void> {
    const { database, times, logger } = this.#options;
    try {
      if (times.interval > 0 && this.#turn.mine() && (await isSnapshotDue(database, times.interval))) await take(this.#options, "schedule");
    } catch (error) {
      logger.error({ err: error }, "a snapshot of the metadata could not be taken; it is tried again");
    }
    await this.#measure();
  }

  /** Takes one now. Progress, then the snapshot as the last line. */
  async *now(): AsyncGenerator<BackupLine> {
    const steps: BackupLine[] = [];
    let wake = (): void => undefined;
    const taking = take(this.#options, "command", ({ table, done, total }) => {
      steps.push({ progress: { step: table, done, total } });
      wake();
    });
    let over = false;
    void taking
      .catch(() => undefined)
      .finally(() => {
        over = true;
        wake();
      });
    for (;;) {
      yield* steps.splice(0);
      if (over) break;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (over || steps.length > 0) resolve();
      });
    }
    const snapshot = await taking;
    await this.#measure();
    yield { snapshot: viewOf(snapshot) };
  }

  /** Newest first. */
  async list(): Promise<ListedSnapshot[]> {
    const { stored, unread } = await readSnapshots(this.#options.named);
    const newer = new Set(await unknownMigrations(stored.flatMap(({ manifest }) => manifest.migrations)));
    const isNewer = ({ manifest }: StoredSnapshot) => manifest.migrations.some((name) => newer.has(name));
    const whole = stored.map((snapshot) => (isNewer(snapshot) ? { name: snapshot.name, flaw: "Newer" as const } : viewOf(snapshot)));
    const flawed = unread.map(({ name, error }) => ({ name, flaw: error.code === "Newer" ? ("Newer" as const) : ("Broken" as const) }));
    return [...whole, ...flawed].sort((a, b) => compareNames(timeOf(b.name), timeOf(a.name)));
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.takeDue().finally(() => this.#schedule());
    }, lookEvery).unref();
  }

  /** Not at each scrape, which must not wait for a database that is away: the newest one only grows older meanwhile. */
  async #measure(): Promise<void> {
    const { database, times } = this.#options;
    try {
      const seconds = await readSnapshotAge(database, { wanted: times.interval > 0 });
      this.#age = seconds === undefined ? undefined : { seconds, at: performance.now() };
    } catch {
      // The next look is in a minute.
    }
  }
}

/**
 * Runs `migrate`, after a snapshot of what it is about to change: one process takes it and migrates while the others wait. A new or empty database
 * has nothing to lose. Rejects when the snapshot cannot be taken; nothing is migrated then.
 */
export async function backedUp<T>(options: BackupOptions & { readonly pod: string }, migrate: () => Promise<T>): Promise<T> {
  const { database, pod, times } = options;
  const turn = { name: "migration", holder: pod };
  for (;;) {
    const { done, missing } = await pendingMigrations(database);
    if (times.interval === 0 || missing.length === 0 || done.length === 0) return migrate();
    if (await mayTakeTurn(database, turn)) break;
    await sleep(500);
  }
  const keeping = setInterval(() => void mayTakeTurn(database, turn).catch(() => undefined), turnHolds / 3).unref();
  try {
    // Somebody else may have migrated between the look and the turn.
    if ((await pendingMigrations(database)).missing.length > 0) await takeBefore(options);
    return await migrate();
  } finally {
    clearInterval(keeping);
    await giveBackTurn(database, turn).catch(() => undefined);
  }
}

async function takeBefore(options: BackupOptions): Promise<void> {
  try {
    await take(options, "migration");
  } catch (cause) {
    throw new Error(
      `The database is about to be migrated, and no snapshot of it could be written before: ${(cause as Error).message} ` +
        "Nothing was changed. Mend that, or take a backup of the database yourself and start with the setting backup.interval: 0s.",
      { cause },
    );
  }
}

/** True also where the schema is of before there were turns: then several may take a snapshot, which costs some space. */
async function mayTakeTurn(database: Database, turn: { readonly name: string; readonly holder: string }): Promise<boolean> {
  return takeTurn(database, { ...turn, milliseconds: turnHolds }).catch((error: unknown) => {
    if (codeOf(error) === undefinedTable) return true;
    throw error;
  });
}

const undefinedTable = "42P01";
const undefinedColumn = "42703";

async function take(options: BackupOptions, reason: SnapshotReason, onTable?: SnapshotOptions["onTable"]): Promise<StoredSnapshot> {
  const { database, named, times, version, logger } = options;
  const begun = performance.now();
  const snapshot = await takeSnapshot({ database, named, version, reason, ...(onTable === undefined ? {} : { onTable }) });
  const { rows, bytes } = viewOf(snapshot);
  logger.info(
    { snapshot: snapshot.name, reason, rows, bytes, ms: Math.round(performance.now() - begun) },
    "a snapshot of the metadata is written",
  );
  // The schema may be of before there were snapshots.
  const known = await noteSnapshot(database, snapshot.manifest.takenAt).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === undefinedColumn) return false;
      throw error;
    },
  );
  if (known) await prune({ database, named, logger }, times.keep);
  return snapshot;
}

/** Not while the database may be the wrong one: then the old ones are what it is restored from. What fails costs space, and comes again. */
async function prune({ database, named, logger }: Pick<BackupOptions, "database" | "named" | "logger">, keep: number): Promise<void> {
  try {
    const doubts = (await readGcPauses(database)).filter(({ reason }) => reason !== "brake");
    if (doubts.length > 0) return logger.warn("older snapshots are kept: database and store may not belong together (gc status)");
    const { id } = await readInstallation(database);
    await pruneSnapshots(named, id, keep);
  } catch (error) {
    logger.warn({ err: error }, "older snapshots are kept until the next one is written: they could not be looked through");
  }
}

function viewOf({ name, manifest }: StoredSnapshot): SnapshotView {
  const { takenAt, reason, program, migrations, tables } = manifest;
  return {
    name,
    takenAt,
    reason,
    program,
    schema: migrations.at(-1) ?? "",
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
  };
}
