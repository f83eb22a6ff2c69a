// Pushers that race garbage collection, over HTTP, at any registry: the same few layers lose their last reference and come back all the time, by a
// push, by a mount, or because a HEAD says that they are there. What was acknowledged must stay.

import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { deleteManifest, hasBlob, manifestOf, mountBlob, pushBlob, pushManifest, sha256, UnexpectedAnswer, type Blob } from "./client.ts";
import { Journal } from "./journal.ts";
import { verifyJournal } from "./verify.ts";

export interface RaceOptions {
  readonly url: () => string;
  readonly urls: () => readonly string[];
  readonly pushers: number;
  readonly seconds: number;
  /** Asked when the time is over: a machine that got little done in it goes on, for `longest` seconds in all. */
  readonly enough?: () => Promise<boolean>;
  readonly longest?: number;
  /** Milliseconds for which a blob stays after a push; 0: the registry promises nothing. */
  readonly lease: number;
  /** A POST with the whole blob is understood. */
  readonly once: boolean;
  readonly onProgress?: (line: string) => void;
}

export interface RaceSummary {
  readonly acknowledged: number;
  readonly deleted: number;
  /** Manifests refused because a blob of theirs was gone: inside the lease that is a broken promise, after it the client's to push again. */
  readonly refusedInLease: number;
  readonly refusedLater: number;
  /** Answers that are no answer, by what they were. */
  readonly failed: Readonly<Record<string, number>>;
  /** Acknowledged, not deleted, and broken: while it ran, and at the end. */
  readonly broken: readonly string[];
}

const repositories = ["race/a", "race/b", "race/c"];
const layers = Array.from({ length: 120 }, (_, index) => Buffer.alloc(4_000, `layer ${index} `));
/** Manifests that a pusher leaves alive. */
const keep = 3;
const askAgainAfter = 2_000;

export async function race(options: RaceOptions): Promise<RaceSummary> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-race-"));
  const journal = new Journal(join(folder, "journal"));
  const began = performance.now();
  const counted = { refusedInLease: 0, refusedLater: 0 };
  const broken: string[] = [];
  const failed: Record<string, number> = {};
  const said = setInterval(() => {
    const entries = journal.read().filter(({ acknowledged }) => acknowledged);
    options.onProgress?.(
      `${Math.max(0, Math.round(options.seconds - (performance.now() - began) / 1000))} s to go, ${entries.length} pushes and deletes acknowledged`,
    );
  }, 10_000);

  const over = new AbortController();
  const clock = async (): Promise<void> => {
    const { seconds, enough = async () => true, longest = seconds } = options;
    try {
      await sleep(seconds * 1_000);
      while (!(await enough()) && performance.now() - began < longest * 1_000) await sleep(askAgainAfter);
    } finally {
      over.abort();
    }
  };

  const push = async (name: string): Promise<void> => {
    const alive: { readonly repository: string; readonly digest: string; readonly blobs: readonly string[] }[] = [];
    for (let round = 0; !over.signal.aborted; round++) {
      try {
        const repository = repositories[randomInt(repositories.length)]!;
        const chosen = await Promise.all([1, 2, 3].map(() => provide(options, repository, layers[randomInt(layers.length)]!)));
        const until = Math.min(...chosen.map((blob) => blob.until));
        await sleep(randomInt(6_000));
        const [config, ...rest] = chosen;
        const manifest = manifestOf(plain(config!), rest.map(plain), { name, round: String(round) });
        const digest = sha256(manifest);
        const tag = `${name}-${round}`;
        const id = journal.intend({ op: "push", repository, tag, digest, blobs: chosen.map((blob) => blob.digest) });
        try {
          await pushManifest(options.url(), repository, tag, manifest);
        } catch (error) {
          if (!(error instanceof UnexpectedAnswer) || !/BLOB_UNKNOWN/.test(error.body)) throw error;
          counted[performance.now() < until ? "refusedInLease" : "refusedLater"]++;
          continue;
        }
        journal.acknowledge(id);
        alive.push({ repository, digest, blobs: chosen.map((blob) => blob.digest) });
        if (alive.length > keep) {
          const going = alive.shift()!;
          const { problems } = await verifyJournal([{ intent: { op: "push", tag: "", ...going }, acknowledged: true }], [options.url()]);
          broken.push(...problems);
          const deleting = journal.intend({ op: "delete", repository: going.repository, digest: going.digest });
          await deleteManifest(options.url(), going.repository, going.digest);
          journal.acknowledge(deleting);
        }
      } catch (error) {
        const what = error instanceof UnexpectedAnswer ? `${error.message.split(" ", 1)[0]} ${error.status}` : (error as Error).name;
        failed[what] = (failed[what] ?? 0) + 1;
      }
    }
  };
  try {
    await Promise.all([clock(), ...Array.from({ length: options.pushers }, (_, number) => push(`p${number}`))]);
    const entries = journal.read();
    const count = (op: string) => entries.filter(({ acknowledged, intent }) => acknowledged && intent.op === op).length;
    const { problems } = await verifyJournal(entries, options.urls());
    return { acknowledged: count("push"), deleted: count("delete"), ...counted, failed, broken: [...broken, ...problems] };
  } finally {
    clearInterval(said);
    journal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes a blob available, each way as often. `until`: the moment to which it must stay. */
async function provide(options: RaceOptions, repository: string, bytes: Buffer): Promise<Blob & { readonly until: number }> {
  const blob = { digest: sha256(bytes), size: bytes.byteLength };
  const asked = performance.now();
  const way = randomInt(3);
  // A lease of which more than half is left stays as it is.
  if (way === 0 && (await hasBlob(options.url(), repository, blob.digest))) return { ...blob, until: asked + options.lease / 2 };
  const from = repositories[(repositories.indexOf(repository) + 1) % repositories.length]!;
  if (way === 1 && (await mountBlob(options.url(), repository, from, blob.digest))) return { ...blob, until: asked + options.lease / 2 };
  const sent = performance.now();
  await pushBlob(options.url, repository, bytes, { once: options.once });
  return { ...blob, until: sent + options.lease };
}

const plain = ({ digest, size }: Blob): Blob => ({ digest, size });
