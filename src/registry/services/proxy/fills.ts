// The fills that run: one for an origin and a digest, shared by the repositories that showed their right to the bytes.

import type { Digest } from "../../../domain/digest.ts";
import type { Database } from "../../metadata/database.ts";
import { linkProxiedBlob } from "../../metadata/proxy-blobs.ts";
import type { Priority } from "../../upstream/budget.ts";
import { UpstreamError } from "../../upstream/errors.ts";
import type { AskedBlobs } from "./asked-blobs.ts";
import { FillSlots } from "./fill-slots.ts";
import type { FillStart, Started } from "./fill-start.ts";
import { Fill } from "./fill.ts";
import type { Place } from "./upstreams.ts";

/** Blobs that are fetched from one Upstream at once. */
const maxFills = 16;

export interface Asker {
  readonly priority: Priority;
  /** Whose turn it takes where places are few. */
  readonly sender: string;
}

interface RunningFill {
  /** Names here whose right to the bytes is shown: the one that fetches, and those for which upstream answered HEAD. */
  readonly repositories: Map<string, string>;
  readonly started: Promise<Started>;
}

export interface FillsOptions {
  readonly database: Database;
  readonly asked: AskedBlobs;
  readonly start: FillStart;
  /** Blobs that are fetched from one Upstream at once; the others wait. */
  readonly maxFills?: number;
}

export class Fills {
  readonly #options: FillsOptions;
  /** By origin and digest: repositories of one Upstream share a transfer. */
  readonly #running = new Map<string, RunningFill>();
  readonly #slots: FillSlots;
  #closed = false;

  constructor(options: FillsOptions) {
    this.#options = options;
    this.#slots = new FillSlots(options.maxFills ?? maxFills);
  }

  /** True while a fill runs to which this repository has shown its right. */
  joined(place: Place, digest: Digest): boolean {
    return this.#running.get(keyOf(place, digest))?.repositories.has(place.name) === true;
  }

  /** The fill that runs, once this repository's right to it is shown. Undefined: none runs. Rejects with UpstreamError. */
  async join(place: Place, digest: Digest, { priority, sender }: Asker): Promise<Started | undefined> {
    const running = this.#running.get(keyOf(place, digest));
    if (running === undefined) return undefined;
    const fill = await running.started;
    if (!(fill instanceof Fill)) return running.repositories.has(place.name) ? fill : this.start(place, digest, { priority, sender });
    if (running.repositories.has(place.name)) return fill;
    const found = await this.#options.asked.ask(place, digest, priority);
    if (found === undefined) return "missing";
    const size = fill.size ?? (await fill.verified);
    if (found.size !== size) throw new UpstreamError("UnexpectedAnswer", `${place.upstream.host} states two sizes for blob ${digest}`);
    running.repositories.set(place.name, place.upstream.key);
    // The commit may have happened while we asked; then the link is made here.
    void fill.kept
      .then(() => linkProxiedBlob(this.#options.database, [{ name: place.name, upstream: place.upstream.key }], digest))
      .catch(() => {});
    return fill;
  }

  /** A fill of this repository, or the one that runs. Rejects with UpstreamError. */
  async start(place: Place, digest: Digest, asker: Asker): Promise<Started> {
    const key = keyOf(place, digest);
    const running = this.#running.get(key);
    if (running !== undefined && running.repositories.has(place.name)) return running.started;
    const repositories = new Map([[place.name, place.upstream.key]]);
    const started = this.#start(place, digest, asker, repositories);
    const entry = { repositories, started };
    this.#running.set(key, entry);
    const forget = () => {
      if (this.#running.get(key) === entry) this.#running.delete(key);
    };
    void forgetAfter(started, forget);
    return started;
  }

  /** Ends running fills; their readers fail. Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      [...this.#running.values()].map(async ({ started }) => {
        const fill = await started.catch(() => undefined);
        if (!(fill instanceof Fill)) return;
        fill.stop();
        await fill.kept.catch(() => {});
      }),
    );
  }

  async #start(place: Place, digest: Digest, { priority, sender }: Asker, repositories: ReadonlyMap<string, string>): Promise<Started> {
    const { asked, start } = this.#options;
    if (asked.isMissing(place, digest)) return "missing";
    const free = await this.#slots.take(place.upstream.key, sender);
    let fill: Fill | undefined;
    try {
      if (this.#closed) throw new UpstreamError("Unreachable", "the registry is stopping");
      const started = await start.begin({ place, digest, repositories }, priority);
      if (started instanceof Fill) fill = started;
      if (started === "missing") asked.noteMissing(place, digest);
      return started;
    } finally {
      if (fill === undefined) free();
      else void fill.kept.then(free, free);
    }
  }
}

/** At its end, or as soon as it turns out wrong: whoever comes then starts anew. */
async function forgetAfter(started: RunningFill["started"], forget: () => void): Promise<void> {
  try {
    const fill = await started;
    if (!(fill instanceof Fill)) return;
    await fill.verified;
    await fill.kept;
  } catch {
    // who waits for the fill is told
  } finally {
    forget();
  }
}

const keyOf = (place: Place, digest: Digest) => `${place.upstream.origin} ${digest}`;
