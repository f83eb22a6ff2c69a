import { expect, test } from "vitest";

import { keyString, type Kind, type ResourceKey } from "../../domain/resource.ts";
import { GuardedRecord } from "../../../test/support/guarded-record.ts";
import type { ReadNamespace } from "../ports.ts";

const keyIn = (namespace: string, name = "one", kind: Kind = "AccessPolicy"): ResourceKey => ({ kind, namespace, name });
const many = (namespace: string, count: number, kind?: Kind) =>
  Array.from({ length: count }, (_, index) => keyIn(namespace, `r${index}`, kind));
const tenants = ["team-a", "team-b", "team-c", "team-d", "team-e", "team-f"];
const minutes = 60_000;

test("what is missing is removed where all was read, whatever becomes of other namespaces", () => {
  const recorded = ["registry", "leaving", "anew", "older", "unwatched"];
  const record = new GuardedRecord();
  // What an older release recorded does not say its namespace's uid.
  for (const namespace of recorded) record.recorded(keyIn(namespace), namespace === "older" ? undefined : `${namespace} as it was`);
  const namespaces = new Map<string, ReadNamespace>([
    ["registry", { whole: true, uid: "registry as it was" }],
    ["leaving", { whole: false, uid: "leaving as it was" }],
    ["anew", { whole: true, uid: "another" }],
    ["older", { whole: true, uid: "whichever" }],
  ]);
  const found = record.find({ resources: [], namespaces });
  expect(found.removals.map(({ key }) => key.namespace)).toEqual(["registry", "older"]);
  expect(found.orphans.map(({ namespace }) => namespace)).toEqual(["anew", "unwatched"]);
});

test("of a folder that was read whole everything that is missing is gone, of another nothing", () => {
  const record = new GuardedRecord();
  record.apply(many("default", 3));
  record.round();
  expect(record.find({ resources: [], complete: false }).removals).toEqual([]);
  expect(record.find({ resources: [] }).removals).toHaveLength(3);
});

test("slices of a removal wait as the whole would, however long they take within an hour, and whoever counts", () => {
  const record = new GuardedRecord();
  record.apply(many("team-a", 12));
  record.round();
  for (let slice = 0; slice < 6; slice++) {
    record.advance(9 * minutes);
    record.remove(many("team-a", 12).slice(2 * slice, 2 * slice + 2));
    record.round();
  }
  expect(record.files.size).toBe(8);
  expect(record.last.waiting).toMatchObject([
    {
      namespace: "team-a",
      loss: { gone: 12, stood: 12, of: "resources of this namespace" },
      word: expect.stringMatching(/\/team-a$/) as string,
    },
  ]);
  expect(record.last.waiting[0]?.keys).toHaveLength(8);
});

test("a third goes each hour, and what is made anew is not gone", () => {
  const record = new GuardedRecord();
  record.apply(many("team-a", 12));
  record.round();
  record.remove(many("team-a", 4));
  record.round();
  expect(record.files.size).toBe(8);
  record.apply(many("team-a", 2));
  record.round();
  // Two of twelve are gone now: there is room for two more.
  record.remove(many("team-a", 12).slice(10));
  record.round();
  expect(record.files.size).toBe(8);
  record.remove(many("team-a", 12).slice(9));
  record.round();
  expect(record.last.waiting.map(({ keys }) => keys.length)).toEqual([1]);
  record.advance(61 * minutes);
  record.round();
  expect(record.files.size).toBe(7);
});

test("a tenant's removals wait, and nobody else's", () => {
  const record = new GuardedRecord();
  record.apply(tenants.flatMap((tenant) => many(tenant, 6)));
  record.round();
  record.remove(many("team-a", 6));
  record.remove(many("team-b", 1));
  record.apply([keyIn("team-c", "new")]);
  record.round();
  expect(record.last.waiting.map(({ namespace, keys }) => [namespace, keys.length])).toEqual([["team-a", 6]]);
  expect(record.files.has(keyString(keyIn("team-b", "r0")))).toBe(false);
  expect(record.files.has(keyString(keyIn("team-c", "new")))).toBe(true);
});

test("two that wait hold up no third one", () => {
  const record = new GuardedRecord();
  record.apply([...many("team-a", 20), ...many("team-b", 20), ...many("team-c", 3)]);
  record.round();
  record.remove([...many("team-a", 20), ...many("team-b", 20)]);
  record.round();
  record.remove(many("team-c", 1));
  record.round();
  expect(record.last.waiting.map(({ namespace }) => namespace)).toEqual(["team-a", "team-b"]);
  expect(record.files.has(keyString(keyIn("team-c", "r0")))).toBe(false);
});

test("a kind that goes everywhere waits everywhere, be it little in each namespace", () => {
  const record = new GuardedRecord();
  record.apply(tenants.flatMap((tenant) => [...many(tenant, 9), keyIn(tenant, "hub", "Upstream")]));
  record.round();
  record.remove(tenants.map((tenant) => keyIn(tenant, "hub", "Upstream")));
  record.round();
  expect(record.last.removals).toEqual([]);
  expect(record.last.waiting.map(({ namespace }) => namespace)).toEqual(tenants);
  expect(record.last.waiting[0]?.loss).toEqual({ gone: 6, stood: 6, of: "resources of kind Upstream of all namespaces" });
});

test("a kind that goes everywhere waits, also where one namespace has most of it and waits for itself", () => {
  const record = new GuardedRecord();
  record.apply([...many("registry", 60, "Upstream"), ...tenants.map((tenant) => keyIn(tenant, "hub", "Upstream"))]);
  record.round();
  record.remove([...many("registry", 60, "Upstream"), ...tenants.map((tenant) => keyIn(tenant, "hub", "Upstream"))]);
  record.round();
  expect(record.files.size).toBe(66);
  expect(record.last.waiting.map(({ namespace }) => namespace)).toEqual(["registry", ...tenants]);
});

test("namespace by namespace, as `kubectl delete --all-namespaces` goes, is one removal", () => {
  const record = new GuardedRecord();
  const of = (tenant: string) => many(tenant, 4);
  const everybody = Array.from({ length: 20 }, (_, index) => `team-${String(index).padStart(2, "0")}`);
  record.apply(everybody.flatMap(of));
  record.round();
  for (const tenant of everybody) {
    for (const key of of(tenant)) {
      record.remove([key]);
      record.round();
    }
  }
  expect(record.files.size).toBeGreaterThanOrEqual(80 - 26);
});

test("whoever confirms lets go one namespace, or all, once", () => {
  const record = new GuardedRecord();
  record.apply([...many("team-a", 8), ...many("team-b", 8)]);
  record.round();
  record.remove([...many("team-a", 8), ...many("team-b", 8)]);
  record.round();
  const [a] = record.last.waiting;
  record.say(a?.word ?? "");
  record.round();
  expect(record.last.waiting.map(({ namespace }) => namespace)).toEqual(["team-b"]);
  expect(record.files.size).toBe(8);
  // The same word again, and others' changes after the commit that another message named.
  record.apply([...many("team-a", 8), ...many("team-c", 30)]);
  record.round();
  record.remove(many("team-a", 8));
  record.say(a?.word ?? "");
  record.round();
  expect(record.last.waiting.map(({ namespace }) => namespace)).toEqual(["team-a", "team-b"]);
  record.say(record.last.wordForAll ?? "");
  record.round();
  expect(record.last.waiting).toEqual([]);
  expect(record.files.size).toBe(30);
});

test("the commit at which something waits is good for it, whatever is recorded of others meanwhile; what was recorded after it is not meant", () => {
  const record = new GuardedRecord();
  record.apply(many("team-a", 8));
  record.round();
  const head = record.head;
  record.apply([...many("team-b", 3), ...many("team-a", 16).slice(8)]);
  record.round();
  record.remove(many("team-a", 16));
  record.round();
  record.say(head);
  record.round();
  expect(record.last.waiting.map(({ keys }) => keys.length)).toEqual([8]);
  expect(record.files.size).toBe(8 + 3);
});

test("a word is put away with the first round that could hear it, and waits for a namespace that cannot be read", () => {
  const record = new GuardedRecord();
  record.apply(many("team-a", 8));
  record.round();
  const words = [{ commit: record.head, namespace: "team-a" }, { commit: record.head }];
  const heardWhen = (whole: boolean) =>
    record.find({ resources: [], namespaces: new Map([["team-a", { whole, uid: undefined }]]) }, words).heard;
  expect(heardWhen(true)).toEqual(words);
  expect(heardWhen(false)).toEqual([]);
});

test("what a person took out in Git is nobody's loss, and where a person let go the hour begins anew", () => {
  const record = new GuardedRecord();
  record.apply(many("team-a", 20));
  record.round();
  record.byHand(many("team-a", 6));
  record.remove(many("team-a", 10));
  record.round();
  expect(record.files.size).toBe(10);
  record.remove(many("team-a", 16));
  record.round();
  record.say(record.last.wordForAll ?? "");
  record.round();
  expect(record.files.size).toBe(4);
  record.remove(many("team-a", 17));
  record.round();
  expect(record.last.waiting).toEqual([]);
});

test("what had come back when a person let other things go is missed when it goes again", () => {
  const record = new GuardedRecord();
  const [returning, seen] = many("team-a", 2, "TagPolicy") as [ResourceKey, ResourceKey];
  const [first, second, third] = many("team-b", 3, "TagPolicy") as [ResourceKey, ResourceKey, ResourceKey];
  record.apply(["team-a", "team-b"].flatMap((namespace) => [...many(namespace, 6, "TagPolicy"), ...many(namespace, 6, "Upstream")]));
  record.round();
  record.remove([returning, first]);
  record.round();
  record.apply([returning]);
  record.round();
  record.remove([seen, ...many("team-a", 3, "Upstream")]);
  record.round();
  record.say(record.last.wordForAll ?? "");
  record.round();
  record.remove([second]);
  record.round();
  expect(record.files.size).toBe(24 - 6);
  // Of the TagPolicies that stood at first and that nobody has let go, four of eleven.
  record.remove([returning, third]);
  record.round();
  expect(record.last.waiting.map(({ namespace }) => namespace).sort()).toEqual(["team-a", "team-b"]);
});

test("dates that are still to come count; a clock that was far ahead is mended by a person's word", () => {
  const record = new GuardedRecord();
  record.apply(many("team-a", 9));
  record.round();
  record.advance(30 * 24 * 60 * minutes);
  record.remove(many("team-a", 3));
  record.round();
  record.advance(-30 * 24 * 60 * minutes);
  record.remove(many("team-a", 4));
  record.round();
  expect(record.last.waiting).toHaveLength(1);
  record.say(record.head);
  record.round();
  record.remove(many("team-a", 5));
  record.round();
  expect(record.files.size).toBe(4);
});
