// Whatever tenants delete and make again, in whichever slices, and whatever people do in Git meanwhile: between no two moments of an hour more is gone than
// the bound, unless a person let it go.

import * as fc from "fast-check";
import { expect, test } from "vitest";

import { keyString, kinds, type ResourceKey } from "../../domain/resource.ts";
import { GuardedRecord } from "../../../test/support/guarded-record.ts";
import { removalWindow } from "./removal-guard.ts";

const namespaces = ["team-a", "team-b", "team-c"];
const everything = namespaces.flatMap((namespace) =>
  kinds.slice(0, 2).flatMap((kind) => Array.from({ length: 6 }, (_, index): ResourceKey => ({ kind, namespace, name: `r${index}` }))),
);

const some = fc.subarray(everything, { minLength: 1, maxLength: 12 });
const one = fc.subarray(everything, { minLength: 1, maxLength: 3 });
const step = fc.oneof(
  { weight: 3, arbitrary: some.map((keys) => ({ does: "apply", keys }) as const) },
  { weight: 4, arbitrary: one.map((keys) => ({ does: "remove", keys }) as const) },
  { weight: 2, arbitrary: some.map((keys) => ({ does: "remove", keys }) as const) },
  { weight: 1, arbitrary: one.map((keys) => ({ does: "byHand", keys }) as const) },
  { weight: 1, arbitrary: fc.constantFrom(...namespaces, undefined).map((namespace) => ({ does: "confirm", namespace }) as const) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 40 }).map((minutes) => ({ does: "wait", minutes }) as const) },
);

/** Parts of which no more than the bound may go. */
const scopes: readonly ((key: ResourceKey) => string)[] = [
  ({ namespace }) => namespace,
  ({ namespace, kind }) => `${kind} of ${namespace}`,
  ({ kind }) => kind,
  () => "everything",
];

interface Moment {
  readonly at: number;
  /** Without what a person took out since. */
  readonly stood: Map<string, ResourceKey>;
}

interface LostPart {
  readonly part: string;
  readonly gone: number;
  readonly stood: number;
}

/** What is gone of each part that just lost something. */
function lossesOf(
  stood: ReadonlyMap<string, ResourceKey>,
  { files, unasked }: { readonly files: ReadonlyMap<string, ResourceKey>; readonly unasked: readonly ResourceKey[] },
): readonly LostPart[] {
  return scopes.flatMap((scope) =>
    [...new Set(unasked.map(scope))].map((part) => {
      const there = [...stood].filter(([, key]) => scope(key) === part);
      return { part, stood: there.length, gone: there.filter(([id]) => !files.has(id)).length };
    }),
  );
}

function isTooMuch({ gone, stood }: LostPart): boolean {
  return gone > 3 && gone > stood / 3;
}

test("no sequence of slices removes more than the bound within an hour", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const record = new GuardedRecord();
      record.apply(everything.slice(0, 24));
      const moments: Moment[] = [];
      for (const doing of [{ does: "wait", minutes: 0 } as const, ...steps]) {
        if (doing.does === "apply") record.apply(doing.keys);
        if (doing.does === "remove") record.remove(doing.keys);
        if (doing.does === "wait") record.advance(doing.minutes * 60_000);
        if (doing.does === "byHand") {
          const removed = record.byHand(doing.keys);
          for (const { stood } of moments) for (const key of removed) stood.delete(keyString(key));
        }
        if (doing.does === "confirm") record.say(doing.namespace === undefined ? record.head : `${record.head}/${doing.namespace}`);
        const { now } = record;
        moments.push({ at: now, stood: new Map(record.files) });
        const { removals, waiting } = record.round();
        const asked = doing.does === "confirm" ? waiting.filter(({ namespace }) => namespace === (doing.namespace ?? namespace)) : [];
        expect(asked).toEqual([]);
        const settled = new Set(removals.filter(({ confirmedBy }) => confirmedBy !== undefined).map(({ key }) => key.namespace));
        for (const { stood } of moments) {
          for (const [id, key] of stood) if (settled.has(key.namespace) && !record.files.has(id)) stood.delete(id);
        }
        const unasked = removals.filter(({ present, confirmedBy }) => present && confirmedBy === undefined).map(({ key }) => key);
        const lately = moments.filter(({ at }) => at > now - removalWindow);
        expect(lately.flatMap(({ stood }) => lossesOf(stood, { files: record.files, unasked })).filter(isTooMuch)).toEqual([]);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("what waits in some namespaces holds up nobody in others who deletes three at most", () => {
  const size = fc.integer({ min: 4, max: 30 });
  fc.assert(
    fc.property(fc.array(size, { minLength: 1, maxLength: 4 }), fc.integer({ min: 0, max: 3 }), (sizes, few) => {
      const record = new GuardedRecord();
      const keys = (namespace: string, count: number) =>
        Array.from({ length: count }, (_, index): ResourceKey => ({ kind: "AccessPolicy", namespace, name: `r${index}` }));
      record.apply([...sizes.flatMap((count, index) => keys(`tenant-${index}`, count)), ...keys("quiet", 9)]);
      record.round();
      sizes.forEach((count, index) => record.remove(keys(`tenant-${index}`, count)));
      record.remove(keys("quiet", few));
      record.round();
      expect(record.last.waiting.map(({ namespace }) => namespace).sort()).toEqual(sizes.map((_, index) => `tenant-${index}`));
      expect([...record.files.values()].filter(({ namespace }) => namespace === "quiet")).toHaveLength(9 - few);
    }),
    { numRuns: 100 },
  );
});
