// Tells the registry what a cluster uses: everything every ten minutes, and a new image when a Pod has it (design: retention.md, `inUse`).
//
// Lists in pages rather than a cache that watches keep: of each page only the names stay, so memory goes with the number of images and not with
// the number of objects, and a report never depends on events that were missed. The watch of Pods only adds: what it misses the next list has.

import { setTimeout as pause } from "node:timers/promises";

import { maxImages, type ReportedImage, type WorkloadReport, type WorkloadsHeard } from "../api/control/workloads.ts";
import { ClientError, type ClientErrorCode } from "../client/errors.ts";
import type { Logger } from "../observability/logger.ts";
import { Obstacles, type Announce, type Met } from "../observability/obstacles.ts";
import { ClusterError, type Cluster } from "./cluster.ts";
import { lookAt, type Look } from "./look.ts";

export interface ReporterOptions {
  readonly cluster: Cluster;
  /** Namespaces to look at; empty: all that the credentials may read. */
  readonly namespaces: readonly string[];
  /** Sends a report to the registry. */
  readonly send: (report: WorkloadReport) => Promise<WorkloadsHeard>;
  readonly logger: Logger;
  /** Events of the Pod that this runs in. */
  readonly announce?: Announce | undefined;
  /** Pause between two whole reports, milliseconds. */
  readonly every?: number;
}

export interface Reported {
  readonly scope: Look["scope"];
  readonly heard: WorkloadsHeard;
  /** Why the report is not whole; undefined: it is. */
  readonly problem?: string;
}

/** How `run` gets on. */
export interface Standing {
  /** When the registry took the last whole report. */
  readonly reportedAt: Date | undefined;
  /** In a row. */
  readonly failures: number;
  /** Why the last report was none, or not whole; undefined: it was both. */
  readonly problem: string | undefined;
}

const over = { reason: "Reported", message: "A whole report was taken again." };
const defaultEvery = 600_000;
/** First pause after a report that was not heard or not whole, milliseconds; it doubles up to `every`. */
const firstRetry = 5_000;
/** New images that come together go together: milliseconds. */
const gatherFor = 2_000;
/** First pause before a watch that broke is begun again, milliseconds; it doubles up to the longest. */
const watchAgain = { first: 1_000, longest: 30_000 };

export class Reporter {
  readonly #options: ReporterOptions;
  /** Of the last look. */
  #scope: WorkloadReport["scope"] = "Cluster";
  /** When each image of the last look was seen first. */
  #firstSeen = new Map<string, number>();
  /** Images that the watch saw and no whole report has had: when they were seen first and last. */
  #noticed = new Map<string, { readonly first: number; last: number }>();
  /** Those of them that the registry does not know. */
  readonly #unsent = new Set<string>();
  #sending: Promise<void> | undefined;
  #standing: Standing = { reportedAt: undefined, failures: 0, problem: "nothing was reported yet" };
  readonly #obstacles: Obstacles;
  /** Ends the pause before the next look. */
  #lookNow: () => void = () => {};

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#obstacles = new Obstacles({ ...options, over });
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** One look and one report. Rejects with the error of `send`. */
  async once(): Promise<Reported> {
    return (await this.#report()).reported;
  }

  /** Until `signal` is aborted. What goes wrong is logged and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger, every = defaultEvery } = this.#options;
    let watching = new AbortController();
    while (!signal.aborted) {
      try {
        const { look, reported } = await this.#report();
        this.#came(reported.problem);
        if (reported.problem !== undefined) this.#obstacles.meet(notWhole(reported.problem));
        else {
          this.#obstacles.overcome();
          logger.info({ scope: look.scope, images: look.images.size }, "reported");
        }
        watching.abort();
        watching = new AbortController();
        for (const from of look.pods) void this.#watch(from, AbortSignal.any([signal, watching.signal]));
      } catch (error) {
        this.#came(`the registry did not take the report: ${(error as Error).message}`);
        this.#obstacles.meet(notTaken(error));
      }
      const { failures } = this.#standing;
      const wait = failures === 0 ? every : Math.min(every, firstRetry * 2 ** (failures - 1));
      const sooner = new AbortController();
      this.#lookNow = () => sooner.abort();
      // Not all clusters at the same moment.
      await pause(wait * (0.9 + Math.random() * 0.1), undefined, { signal: AbortSignal.any([signal, sooner.signal]) }).catch(
        () => undefined,
      );
    }
    watching.abort();
    await this.#sending;
  }

  #came(problem: string | undefined): void {
    const { reportedAt, failures } = this.#standing;
    this.#standing =
      problem === undefined ? { reportedAt: new Date(), failures: 0, problem } : { reportedAt, failures: failures + 1, problem };
  }

  async #report(): Promise<{ readonly look: Look; readonly reported: Reported }> {
    const { cluster, namespaces, send } = this.#options;
    const look = await lookAt(cluster, { namespaces, now: new Date() });
    const { takenAt } = look;
    const scope = look.scope === "Cluster" ? look.scope : [...look.scope];
    this.#scope = scope;
    const listed = this.#listed(look);
    const tooMany = listed.length > maxImages ? `there are more than ${maxImages} different images` : undefined;
    const problem = look.problem ?? tooMany;
    const heard = await send({
      takenAt: takenAt.toISOString(),
      scope,
      complete: problem === undefined,
      ...(problem === undefined ? {} : { problem }),
      images: listed.slice(0, maxImages),
    });
    // What was seen after this look began may not be in it.
    for (const [image, { last }] of this.#noticed) if (last < takenAt.getTime()) this.#noticed.delete(image);
    return { look, reported: { scope, heard, ...(problem === undefined ? {} : { problem }) } };
  }

  /** What the look found, and what only the watch saw. */
  #listed({ images, takenAt }: Look): ReportedImage[] {
    const now = takenAt.getTime();
    const before = this.#firstSeen;
    this.#firstSeen = new Map(
      [...images].map((image) => [image, Math.min(before.get(image) ?? now, this.#noticed.get(image)?.first ?? now)]),
    );
    const found = [...this.#firstSeen].map(([image, first]) => ({ image, firstSeen: timeOf(first) }));
    const only = [...this.#noticed].filter(([image]) => !images.has(image));
    return [...found, ...only.map(([image, { first, last }]) => ({ image, firstSeen: timeOf(first), lastSeen: timeOf(last) }))];
  }

  /** Ends when it cannot go on from where it was: the next look begins another. */
  async #watch(from: Look["pods"][number], signal: AbortSignal): Promise<void> {
    const { cluster, logger } = this.#options;
    let { resourceVersion } = from;
    let wait = watchAgain.first;
    while (!signal.aborted) {
      try {
        resourceVersion = await cluster.watchPods({ ...from, resourceVersion }, (images) => this.#notice(images, signal), signal);
        wait = watchAgain.first;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ClusterError && error.forbidden) {
          logger.warn({ err: error, ...from }, "Pods may not be watched: new images are told with the next report");
          return;
        }
        logger.debug({ err: error, ...from }, "the watch of Pods broke");
        const expired = error instanceof ClusterError && error.expired;
        await pause(expired ? firstRetry : wait, undefined, { signal }).catch(() => undefined);
        if (expired) {
          this.#lookNow();
          return;
        }
        wait = Math.min(2 * wait, watchAgain.longest);
      }
    }
  }

  #notice(images: readonly string[], signal: AbortSignal): void {
    const now = Date.now();
    for (const image of images) {
      const noticed = this.#noticed.get(image);
      if (noticed !== undefined) noticed.last = now;
      else if (!this.#firstSeen.has(image)) {
        this.#noticed.set(image, { first: now, last: now });
        this.#unsent.add(image);
      }
    }
    if (this.#unsent.size > 0) this.#sending ??= this.#sendNew(signal).finally(() => (this.#sending = undefined));
  }

  async #sendNew(signal: AbortSignal): Promise<void> {
    const { send, logger } = this.#options;
    await pause(gatherFor, undefined, { signal }).catch(() => undefined);
    const images = [...this.#unsent].slice(0, maxImages);
    for (const image of images) this.#unsent.delete(image);
    try {
      await send({ takenAt: timeOf(Date.now()), scope: this.#scope, complete: false, images: images.map((image) => ({ image })) });
      logger.debug({ images: images.length }, "reported new images");
    } catch (error) {
      // They are in the next whole report.
      this.#obstacles.meet(notTaken(error));
    }
  }
}

function notWhole(problem: string): Met {
  return { reason: "ReportNotWhole", message: `The report is not whole, so nothing is deleted by it: ${problem}.` };
}

function notTaken(error: unknown): Met {
  const reason = error instanceof ClientError ? (reasons[error.code] ?? "ReportNotTaken") : "ReportNotTaken";
  return { reason, message: `The registry did not take the report: ${(error as Error).message}` };
}

const reasons: Partial<Readonly<Record<ClientErrorCode, string>>> = {
  Unreachable: "RegistryUnreachable",
  Unauthorized: "RegistryRefused",
  Refused: "RegistryRefused",
};

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
