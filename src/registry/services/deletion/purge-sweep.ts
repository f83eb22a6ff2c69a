// The bytes of a purge: deleted without doomDelay, and whatever the brake says: a person has named them.

import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { claimByName, deletedKeys, dueAtOnce, type DoomedObject } from "../../metadata/gc-sweep.ts";
import { deleteClaimed, type SweepOptions } from "./sweep.ts";

type SweepContext = Pick<SweepOptions, "database" | "store" | "logger" | "beforeDeletion">;

/** Milliseconds between two looks at what another process does, and how many there are. */
const othersEvery = 100;
const othersAsked = 50;

/** Asks until nothing waits any more, some seconds at most; the last answer. */
export async function askedOften(question: () => Promise<number>): Promise<number> {
  for (let asked = 1; ; asked++) {
    const waiting = await question();
    if (waiting === 0 || asked === othersAsked) return waiting;
    await new Promise((resolve) => setTimeout(resolve, othersEvery));
  }
}

/** Deletes what a purge doomed. The keys that this process had to itself; undefined: the store is in doubt, and nothing is deleted in it. */
export async function deleteFreed(context: SweepContext, doomed: readonly DoomedObject[]): Promise<ReadonlySet<string> | undefined> {
  if (doomed.length === 0) return new Set();
  if ((await readGcPauses(context.database)).some(({ reason }) => reason !== "brake")) return undefined;
  const { objects } = await claimByName(
    context.database,
    doomed.map(({ key }) => key),
  );
  await deleteClaimed(context, objects);
  return new Set(objects.map(({ key }) => key));
}

/**
 * The same, and what another process claimed first is waited for. `since` (milliseconds since 1970, the database's clock): others may have gone on
 * with this purge, so whatever was doomed to go at once since then counts.
 */
export async function sweepNow(
  context: SweepContext,
  doomed: readonly DoomedObject[],
  since: number | undefined,
): Promise<{ readonly swept: number; readonly bytes: number; readonly waiting: number }> {
  const { database } = context;
  const keys = new Set(doomed.map(({ key }) => key));
  const mine = await deleteFreed(context, doomed);
  let gone: ReadonlySet<string> = new Set();
  let others = 0;
  const look = async () => {
    if (keys.size > 0) gone = new Set(await deletedKeys(database, [...keys]));
    if (since !== undefined) others = (await dueAtOnce(database, since)).filter((key) => !keys.has(key)).length;
    return others + [...keys].filter((key) => !gone.has(key) && mine?.has(key) === false).length;
  };
  await (mine === undefined ? look() : askedOften(look));
  const bytes = doomed.reduce((sum, { key, size }) => sum + (gone.has(key) ? (size ?? 0) : 0), 0);
  return { swept: gone.size, bytes, waiting: keys.size - gone.size + others };
}
