// Is the record another installation's, too? A restored or a new cluster goes on with it on purpose, so nothing is refused; who named the wrong branch
// by mistake has to hear of it.

import type { ObstacleReason } from "../../domain/obstacle.ts";
import type { Met } from "../../observability/obstacles.ts";
import type { History } from "../../record/history.ts";
import type { Removals } from "./removals.ts";

export interface OtherInstallation {
  /** Its id. */
  readonly id: string;
  /** `writes`: beside this one. `files`: of its files some have no resource here. `last`: it wrote last, and nothing here has until now. */
  readonly sign: "writes" | "files" | "last";
}

/** Milliseconds: whoever was silent for so long does not write beside us any more. */
const silent = 10 * 60_000;

/** Milliseconds. */
const yieldsFor = 24 * 3_600_000;

/** Characters of an id: whoever may push can write what he likes there. */
const longest = 64;

/** By what Git said when the round began: the commits that it makes are not in it. */
export function otherInstallation(
  { orphans }: Pick<Removals, "orphans">,
  history: Pick<History, "writers" | "memoryOf">,
  { installation, now }: { readonly installation: string; readonly now: Date },
): OtherInstallation | undefined {
  const writers = history.writers();
  const ours = writers.find(({ id }) => id === installation);
  const [theirs] = writers.filter((writer) => writer !== ours).sort((a, b) => b.last.index - a.last.index);
  if (theirs === undefined) return undefined;
  const { id, last } = theirs;
  // Restored from, it was silent before we began.
  if (ours !== undefined && last.index > ours.first.index && now.getTime() - Date.parse(last.date) < silent) return { id, sign: "writes" };
  const left = orphans.map((key) => history.memoryOf(key)?.installation).find((by) => by !== undefined && by !== installation);
  if (left !== undefined) return { id: left, sign: "files" };
  return ours === undefined || last.index > ours.last.index ? { id, sign: "last" } : undefined;
}

/**
 * Two that run with the same resources on one branch would adopt these from each other for as long as nobody looks: a commit each time, and no file changes.
 * Who saw another write beside itself leaves to it what it recorded, until that is silent for a day; a new process asks anew.
 */
export class Yielding {
  readonly #seen = new Set<string>();

  to(other: OtherInstallation | undefined, history: Pick<History, "writers">, now: Date): ReadonlySet<string> {
    if (other?.sign === "writes") this.#seen.add(other.id);
    for (const id of this.#seen) {
      const last = history.writers().find((writer) => writer.id === id)?.last;
      if (last === undefined || now.getTime() - Date.parse(last.date) >= yieldsFor) this.#seen.delete(id);
    }
    return new Set(this.#seen);
  }
}

export interface OurRecord {
  readonly installation: string;
  /** Where it is, after "The record". */
  readonly place: string;
  /** What names another place. */
  readonly placedBy: string;
}

/** What it is called, and what is to be done about it. The same words for as long as it is the same. */
export function metOther({ id, sign }: OtherInstallation, { installation, place, placedBy }: OurRecord): Met {
  const [what, meant] = signs[sign];
  const message =
    `The record ${place} is another installation's: ${id.slice(0, longest)} ${what}, and this one is ${installation}. Nothing of that one's is removed. ` +
    `If it is a mistake, name another place (${placedBy}). If it is meant, as after a restore, ${meant}.`;
  return { reason: "RecordOfAnotherInstallation" satisfies ObstacleReason, message };
}

const signs: Readonly<Record<OtherInstallation["sign"], readonly [what: string, meant: string]>> = {
  writes: ["writes to it as well", "stop the other operator: this is over ten minutes after its last commit"],
  files: ["recorded files there that have no resource here and are served on", "apply their resources here, or remove the files in Git"],
  last: ["wrote to it last", "there is nothing to do: it is this one's with its first commit"],
};

export const otherIsOver: Met = {
  reason: "RecordOfThisInstallation",
  message: "The record is this installation's alone: of no other one anything is left in it that has no resource here.",
};
