// Many resources that go at once, or one after the other, wait for a person: a deleted CRD must not empty the registry (design: record, "One rule";
// ADR 0022). Pure: what went before is in the record's history, so that a restart forgets nothing and two operators count alike.

import { keyString, kinds, type Kind, type ResourceKey } from "../../domain/resource.ts";
import type { Presence } from "../../record/history.ts";

/** So many go without a word, whatever their share is; of more, a third. */
const mostFiles = 3;
const mostShare = 1 / 3;

/** Milliseconds for which is remembered what went. */
export const removalWindow = 3_600_000;

export interface Leaving {
  /** Files of resources that stand. */
  readonly files: readonly ResourceKey[];
  /** Those of them whose resources are gone. */
  readonly leaving: readonly ResourceKey[];
  /** What came and went within the window, newest first. */
  readonly past: readonly Presence[];
}

/** What would be gone of what stood at one moment of the window. */
export interface Loss {
  readonly gone: number;
  readonly stood: number;
  /** Of what: `resources of this namespace`. */
  readonly of: string;
}

export interface HeldBack {
  readonly key: ResourceKey;
  readonly loss: Loss;
}

/** Those that wait, of `leaving`. The others are let go at once, so what waits in a namespace holds up nobody in another one. */
export function heldBack({ files, leaving, past }: Leaving): readonly HeldBack[] {
  if (leaving.length === 0) return [];
  const held = new Map<string, HeldBack>();
  const hold = (keys: readonly ResourceKey[], loss: Loss) => {
    for (const key of keys) if (!held.has(keyString(key))) held.set(keyString(key), { key, loss });
  };
  const all: Counted = { files, leaving, past: counted(past) };
  const parts = byNamespace(all);
  for (const part of parts.values()) {
    const whole = lossOf(part, "resources of this namespace");
    if (whole !== undefined) hold(part.leaving, whole);
    for (const kind of kinds) {
      const some = ofKind(part, kind);
      const loss = lossOf(some, `resources of kind ${kind} of this namespace`);
      if (loss !== undefined) hold(some.leaving, loss);
    }
  }
  for (const kind of [...kinds, undefined]) {
    const what = kind === undefined ? "resources" : `resources of kind ${kind}`;
    const some = kind === undefined ? all : ofKind(all, kind);
    const going = some.leaving.filter((key) => !held.has(keyString(key)));
    // Where something waits anyway the rest is not what is left of it: the namespaces that lose little are measured among themselves as well.
    const waiting = new Set([...held.values()].map(({ key }) => key.namespace));
    const others = within({ ...some, leaving: going }, ({ namespace }) => !waiting.has(namespace));
    const loss = lossOf({ ...some, leaving: going }, `${what} of all namespaces`) ?? lossOf(others, `${what} of the other namespaces`);
    if (loss !== undefined) hold(going, loss);
  }
  return [...held.values()];
}

interface Change {
  readonly key: ResourceKey;
  readonly present: boolean;
  /** When, RFC 3339. */
  readonly date: string;
  /** Nobody has decided that it goes but whoever deleted the resource. */
  readonly counts: boolean;
}

interface Counted extends Omit<Leaving, "past"> {
  readonly past: readonly Change[];
}

/**
 * What a person removed in Git, or let go, is no loss; and where a person let go, what was gone already was seen by that person and counts no more.
 * What had come back by then, and goes later, nobody has seen go.
 */
function counted(past: readonly Presence[]): readonly Change[] {
  const decided = new Set<string>();
  // Of each settled namespace, what came between the change that is looked at and its settling.
  const cameBack = new Map<string, Set<string>>();
  return past.map(({ key, commit, present }) => {
    const id = keyString(key);
    const date = commit.date;
    if (present) {
      cameBack.get(key.namespace)?.add(id);
      return { key, present, date, counts: false };
    }
    if (commit.confirmedBy !== undefined) cameBack.set(key.namespace, new Set());
    const seen = cameBack.get(key.namespace);
    if (commit.installation === undefined || (seen !== undefined && !seen.has(id))) decided.add(id);
    return { key, present, date, counts: !decided.has(id) };
  });
}

/** The worst that is too much, of all moments of the window; undefined: there is none. */
function lossOf({ files, leaving, past }: Counted, of: string): Loss | undefined {
  if (leaving.length === 0) return undefined;
  // Back in time, as of the moment that is looked at: what stood then, and what of it will be gone.
  const stood = new Set(files.map(keyString));
  const gone = new Set(leaving.map(keyString));
  const staying = new Set([...stood].filter((id) => !gone.has(id)));
  let worst: Loss | undefined;
  const look = () => {
    const many = gone.size > mostFiles && gone.size > stood.size * mostShare;
    if (many && gone.size > (worst?.gone ?? 0)) worst = { gone: gone.size, stood: stood.size, of };
  };
  look();
  past.forEach(({ key, present, date, counts }, index) => {
    const id = keyString(key);
    if (present) {
      stood.delete(id);
      gone.delete(id);
    } else if (counts) {
      stood.add(id);
      if (!staying.has(id)) gone.add(id);
    }
    // A round's commits are one step: it never stood as it is between them.
    if (past[index + 1]?.date !== date) look();
  });
  return worst;
}

/** One part for each namespace that loses something. */
function byNamespace(all: Counted): ReadonlyMap<string, Counted> {
  const leaving = Map.groupBy(all.leaving, ({ namespace }) => namespace);
  const files = Map.groupBy(all.files, ({ namespace }) => namespace);
  const past = Map.groupBy(all.past, ({ key }) => key.namespace);
  return new Map(
    [...leaving].map(([namespace, keys]) => [
      namespace,
      { leaving: keys, files: files.get(namespace) ?? [], past: past.get(namespace) ?? [] },
    ]),
  );
}

function ofKind(part: Counted, kind: Kind): Counted {
  return within(part, (key) => key.kind === kind);
}

function within({ files, leaving, past }: Counted, includes: (key: ResourceKey) => boolean): Counted {
  return { files: files.filter(includes), leaving: leaving.filter(includes), past: past.filter(({ key }) => includes(key)) };
}
