// Database and store belong together, and neither may go back in time unseen: both have a counter (storage.md, "Backup").
//
// How often it rises, and why that is enough. The collector deletes in three steps: the keys are claimed by a committed UPDATE, then the counter
// rises in the database and after that in the store, then the store is asked to delete. Take a database that was restored to a moment T. What it
// references and the store has deleted since was referenced at T, so it was claimed after T; between its claim and its deletion the counter rose
// in the store to a number that was given after T, and the restored database has a lower one. So it is noticed, whatever doomDelay is, also for
// bytes that go without any delay. (Rising before the claim would not do: T may lie between the two.)
// It rises at every start and every hour besides: not for what was deleted but for what was written since T, which the restored database does not
// know and `audit --repair` would take for rubbish after a week.
//
// Any number of processes raise it at once. Each writes an object of its own number: nothing is overwritten, so a write that comes late (a process
// that was stopped, a request that hung) cannot put a lower number in the place of a higher one. Nobody needs a lock or a conditional write: who
// reads the store first and the database then sees a database at least as high, since a number is committed there before the store hears of it.

import type { GcPauseReason } from "../../../api/control/gc.ts";
import { Obstacle } from "../../../domain/obstacle.ts";
import type { Logger } from "../../../observability/logger.ts";
import type { NamedObjects } from "../../blobs/named-objects.ts";
import type { Database } from "../../metadata/database.ts";
import { endGcPauses, pauseGc } from "../../metadata/gc-pauses.ts";
import { exceedMarker, noteMarked, raiseCounter, readInstallation, type Installation } from "../../metadata/installation.ts";
import { readMarkers, removeMarkers, writeMarker, type Markers } from "./marker-names.ts";
import { refusal, type StoreWords } from "./marker-refusal.ts";

export interface MarkerOptions {
  readonly database: Database;
  readonly named: NamedObjects;
  readonly logger: Logger;
  /** How messages name the store, and the commands that mend it. */
  readonly words: StoreWords;
  /** A person said that this store goes with this database, whatever its marker says. */
  readonly acceptStore?: boolean;
  /** Looked at, and left as it is. */
  readonly readOnly?: boolean;
}

const raiseEvery = 3_600_000;
const untilAdopted =
  "Nothing is deleted in the store until `npx wharfinger audit --adopt` has gone over what is unknown and what is missing";

export class Marker {
  readonly #options: MarkerOptions;
  #timer: NodeJS.Timeout | undefined;
  #raising: Promise<unknown> = Promise.resolve();

  private constructor(options: MarkerOptions) {
    this.#options = options;
  }

  /** Rejects with an Error that says what to do when the store is another installation's, or lost its marker. Raises the counter. */
  static async open(options: MarkerOptions): Promise<Marker> {
    const marker = new Marker(options);
    const { database, named, words } = options;
    // In this order: what the store is known to have, then what it has.
    const installation = await readInstallation(database);
    const markers = await readMarkers(named, installation.id);
    const wrong = refusal(installation, markers, words);
    if (wrong !== undefined) {
      if (options.acceptStore !== true || options.readOnly === true) throw new Obstacle("StoreOfAnotherInstallation", wrong);
      await marker.#accept(installation, markers);
    }
    if (options.readOnly === true) return marker;
    await marker.raise();
    const { others } = await readMarkers(named, installation.id);
    // Two that began at the same moment: each sees the other now, and neither goes on.
    if (others.length > 0) throw new Obstacle("StoreOfAnotherInstallation", refusal(installation, { counter: 1, others }, words) ?? "");
    return marker;
  }

  /** Raises it every hour from now on. */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#raising = this.raise()
        .catch((error: unknown) =>
          this.#options.logger.warn({ err: error }, "the marker in the store could not be written; it is tried again"),
        )
        .finally(() => this.start());
    }, raiseEvery).unref();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#raising;
    clearTimeout(this.#timer);
  }

  /** Database, then store. False: one of them went back in time, or the store has a second owner; the collector is paused then. */
  async raise(): Promise<boolean> {
    const { database, named } = this.#options;
    const { id, counter, marked } = await readInstallation(database);
    const markers = await readMarkers(named, id);
    if (markers.others.length > 0) {
      return this.#pause(
        "foreign-marker",
        `the installation ${markers.others.join(" and ")} has put its marker into the store of this one, ${id}`,
      );
    }
    const behind = markers.counter < marked;
    if (behind) {
      await this.#pause("store-behind", `the store's marker is at ${markers.counter}, and was at ${marked}: the store is an older copy`);
    }
    const raised = await raiseCounter(database, markers.counter);
    if (raised === undefined) {
      return this.#pause(
        "database-behind",
        `the database is at ${counter} and its marker in the store at ${markers.counter}: the database is an older copy`,
      );
    }
    await writeMarker(named, id, raised, markers);
    await noteMarked(database, raised, { anew: behind });
    return !behind;
  }

  /** Everything was gone over (`wharfinger audit --adopt`): both count on from here, and the collector goes on. */
  async setAnew(): Promise<void> {
    const { database, named, logger } = this.#options;
    const { id } = await readInstallation(database);
    const markers = await readMarkers(named, id);
    await this.#write(id, markers);
    await endGcPauses(database, ["database-behind", "store-behind", "foreign-marker"]);
    logger.info("database and store count on together; the collector goes on");
  }

  async #accept({ id, marked }: Installation, markers: Markers): Promise<void> {
    const { named, logger } = this.#options;
    const before = markers.others.length > 0 ? `belonged to ${markers.others.join(" and ")}` : `has no marker, and had one at ${marked}`;
    await this.#pause("store-behind", `the store ${before}, and was accepted at the start`);
    logger.warn(
      { installation: id, others: markers.others },
      "this store is used from now on. Configuration and versions come back from the record; images that were pushed and are not in this database do not",
    );
    await this.#write(id, markers);
    await removeMarkers(named, markers.others);
  }

  async #write(id: string, markers: Markers): Promise<void> {
    const { database, named } = this.#options;
    const counter = await exceedMarker(database, markers.counter);
    await writeMarker(named, id, counter, markers);
    await noteMarked(database, counter, { anew: true });
  }

  async #pause(reason: GcPauseReason, found: string): Promise<false> {
    const { database, logger } = this.#options;
    await pauseGc(database, reason, `${found}. ${untilAdopted}.`);
    logger.error({ reason }, `${found}. ${untilAdopted}`);
    return false;
  }
}
