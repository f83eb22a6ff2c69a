import * as fc from "fast-check";
import { expect, test } from "vitest";

import { digestOf } from "../../../domain/digest.ts";
import type { CachedManifestRow } from "../../metadata/proxy-eviction.ts";
import { cachedManifests } from "./eviction.ts";
import { planEviction, type CachedManifest } from "./eviction-plan.ts";

const hour = 3_600_000;
const limits = { unusedFor: 24 * hour, countedFor: 1000 * hour };

function manifest(id: string, idleHours: number, rest: Partial<CachedManifest> = {}): CachedManifest {
  return { id, idle: idleHours * hour, parts: [], pinned: false, blobs: [], ...rest };
}

const evicted = (manifests: readonly CachedManifest[], over: object = {}) => [...planEviction(manifests, { ...limits, ...over })].sort();

test("what nobody pulled for unusedFor goes, what is pinned stays with its parts", () => {
  expect(
    evicted([
      manifest("old", 25),
      manifest("new", 23),
      manifest("version", 900, { pinned: true, parts: ["child", "evidence"] }),
      manifest("child", 900),
      manifest("evidence", 900),
    ]),
  ).toEqual(["old"]);
});

test("a pull of a child counts for its index, and keeps the other children", () => {
  const index = manifest("index", 100, { parts: ["amd64", "arm64", "never fetched"] });
  expect(evicted([index, manifest("amd64", 1), manifest("arm64", 100)])).toEqual([]);
  expect(evicted([index, manifest("amd64", 30), manifest("arm64", 100)])).toEqual(["amd64", "arm64", "index"]);
});

test("a pull of an index keeps a child that only an older index was pulled with", () => {
  const shared = manifest("shared", 90);
  expect(evicted([manifest("today", 1, { parts: ["shared"] }), manifest("before", 90, { parts: ["shared"] }), shared])).toEqual(["before"]);
});

test("before pulls have been counted for unusedFor nothing is unused", () => {
  expect(evicted([manifest("old", 900)], { countedFor: 23 * hour })).toEqual([]);
});

test("above maxSize the least recently pulled go first, blobs that others name do not count, what is being pulled stays", () => {
  const base = { digest: "base", size: 50 };
  const images = [
    manifest("a", 3, { blobs: [base, { digest: "a", size: 10 }] }),
    manifest("b", 2, { blobs: [base, { digest: "b", size: 10 }] }),
    manifest("c", 1, { blobs: [base, { digest: "c", size: 10 }] }),
    manifest("busy", 0, { blobs: [{ digest: "d", size: 100 }] }),
  ];
  expect(evicted(images, { maxSize: 180 })).toEqual([]);
  expect(evicted(images, { maxSize: 179 })).toEqual(["a"]);
  expect(evicted(images, { maxSize: 160 })).toEqual(["a", "b"]);
  expect(evicted(images, { maxSize: 159 })).toEqual(["a", "b", "c"]);
  expect(evicted(images, { maxSize: 0 })).toEqual(["a", "b", "c"]);
});

test("an index goes with the children that only it has", () => {
  const blob = (digest: string) => [{ digest, size: 10 }];
  const images = [
    manifest("old", 5, { parts: ["only", "shared", "pinned"] }),
    manifest("only", 5, { blobs: blob("1") }),
    manifest("shared", 5, { blobs: blob("2") }),
    manifest("pinned", 5, { blobs: blob("3"), pinned: true }),
    manifest("newer", 1, { parts: ["shared"] }),
  ];
  expect(evicted(images, { maxSize: 20 })).toEqual(["old", "only"]);
});

test("for every graph, also one that goes in circles: what is pinned or was pulled stays with all its parts", () => {
  const names = ["a", "b", "c", "d", "e", "f"];
  const graphs = fc.array(
    fc.record({
      id: fc.constantFrom(...names),
      parts: fc.subarray(names),
      idle: fc.integer({ min: 0, max: 48 * hour }),
      pinned: fc.boolean(),
      blobs: fc.array(fc.constantFrom({ digest: "x", size: 5 }, { digest: "y", size: 7 })),
    }),
  );
  const stays = () =>
    fc.assert(
      fc.property(graphs, fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }), (manifests, maxSize) => {
        const unique = [...new Map(manifests.map((one) => [one.id, one])).values()];
        const gone = planEviction(unique, { ...limits, ...(maxSize === undefined ? {} : { maxSize }) });
        const wanted = (one: CachedManifest) => one.pinned || (maxSize === undefined && one.idle < limits.unusedFor);
        const lost = unique.filter((one) => gone.has(one.id) && wanted(one));
        const halves = unique.filter(({ id, parts }) => !gone.has(id) && parts.some((part) => gone.has(part)));
        return lost.length === 0 && halves.length === 0;
      }),
    );
  expect(stays).not.toThrow();
});

// Many times what once blocked the process for 5 s (with work that grows with the square this never ends), and more than a call takes arguments.
const many = 150_000;
const ids = Array.from({ length: many }, (_, index) => `${index}`);

test("work grows with the number of manifests, also when all are attached to one", () => {
  const attached = ids.map((id) => manifest(id, 900));
  expect(planEviction([manifest("subject", 1, { parts: ids }), ...attached], limits).size).toBe(0);
  expect(planEviction([manifest("subject", 900, { parts: ids }), ...attached], limits).size).toBe(many + 1);
  const sized = attached.map((one) => ({ ...one, blobs: [{ digest: one.id, size: 1 }] }));
  expect(planEviction([manifest("subject", 1, { parts: ids }), ...sized], { ...limits, maxSize: 0 }).size).toBe(many + 1);
});

test("work grows with the number of manifests, also when all share one", () => {
  const blobs = [{ digest: "blob", size: 1 }];
  const sharing = ids.map((id) => manifest(id, 23, { parts: ["shared"] }));
  const whole = [...sharing, manifest("shared", 23, { blobs })];
  expect(planEviction(whole, limits).size).toBe(0);
  expect(planEviction(whole, { ...limits, maxSize: 0 }).size).toBe(many + 1);
});

test("referrers, and what is under cosign's tags, belong to their subject", () => {
  const subject = digestOf("subject");
  const row = (name: string, part: Partial<CachedManifestRow> = {}): CachedManifestRow => ({
    repositoryId: 1,
    digest: digestOf(name),
    subject: null,
    children: [],
    tags: [],
    idle: 0,
    pinned: false,
    ...part,
  });
  const referrers = ids.map((id) => row(id, { subject }));
  const signature = row("signature", { tags: [`${subject.replace(":", "-")}.sig`, "1.0"] });
  const rows = [row("subject", { children: [digestOf("child")] }), ...referrers, signature, row("elsewhere", { repositoryId: 2, subject })];
  const [whole] = cachedManifests(rows, [{ repositoryId: 1, manifest: subject, digest: digestOf("blob"), size: 7 }]);
  expect(whole?.parts).toHaveLength(1 + many + 1);
  expect([whole?.parts[0], whole?.parts.at(-1)]).toEqual([`1 ${digestOf("child")}`, `1 ${signature.digest}`]);
  expect(whole?.blobs).toMatchObject([{ digest: digestOf("blob"), size: 7 }]);
});
