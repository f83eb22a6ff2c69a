import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { digestOf, type Digest } from "./digest.ts";
import type { Build, Ledger } from "./ledger.ts";
import { mint, retire, type MintRequest } from "./minting.ts";
import { tagNames } from "./version-tags.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

const now = new Date("2026-11-21T12:00:00Z");
const options = { now, sourceTags: ["latest"] };
const image = "cgr.dev/chainguard/nginx";
const at = (hour: number) => new Date(Date.UTC(2026, 10, 21, hour)).toISOString();

interface Made {
  version: string;
  content: string;
  seen?: number;
  signed?: number;
  onRebuild?: "Newest" | "First";
}

const read = (text: string): Version => {
  const version = parseVersion(text);
  if (version === undefined) throw new Error(text);
  return version;
};

function request({ version, content, seen = 1, signed, onRebuild = "Newest" }: Made): MintRequest {
  const build: Build = {
    version,
    digest: digestOf(content),
    sourceTag: "latest",
    seen: at(seen),
    evidence: {
      type: "SLSAProvenance",
      attestation: digestOf(`attestation of ${content}`),
      predicateType: "https://slsa.dev/provenance/v1",
      platforms: ["linux/amd64"],
      ...(signed === undefined ? {} : { signed: at(signed) }),
    },
  };
  const { tags } = tagNames(read(version), {
    templates: ["{fullVersion}", "{version}", "{major}.{minor}"],
    suffix: "",
    sourceTags: ["latest"],
  });
  return { image, build, tags, onRebuild };
}

const play = (requests: readonly MintRequest[], start?: Ledger): Ledger | undefined =>
  requests.reduce<Ledger | undefined>((ledger, next) => mint(ledger, next, options).ledger, start);

test("the first build opens the ledger", () => {
  const first = request({ version: "1.27.3-r2", content: "a" });
  const { ledger, added, moved, refused } = mint(undefined, first, options);
  expect(ledger).toEqual({
    image,
    builds: [first.build],
    tags: { "1.27.3-r2": digestOf("a"), "1.27.3": digestOf("a"), "1.27": digestOf("a") },
    pinned: {},
    retired: {},
  });
  expect(added.map(({ tag }) => tag)).toEqual(["1.27.3-r2", "1.27.3", "1.27"]);
  expect([moved, refused]).toEqual([[], []]);
});

test("a rebuild adds a build and takes the tags; the older build stays in the ledger", () => {
  const ledger = play([request({ version: "1.27.3-r2", content: "a", seen: 1 }), request({ version: "1.27.3-r2", content: "b", seen: 2 })]);
  expect(ledger?.builds.map(({ digest }) => digest)).toEqual([digestOf("a"), digestOf("b")]);
  expect(ledger?.tags["1.27.3-r2"]).toBe(digestOf("b"));
});

test("with First a rebuild gets only what nobody has", () => {
  const ledger = play([
    request({ version: "1.27.3-r2", content: "a", seen: 1, onRebuild: "First" }),
    request({ version: "1.27.3-r3", content: "b", seen: 2, onRebuild: "First" }),
    request({ version: "1.27.4-r0", content: "c", seen: 3, onRebuild: "First" }),
  ]);
  expect(ledger?.tags).toEqual({
    "1.27.3-r2": digestOf("a"),
    "1.27.3": digestOf("a"),
    "1.27.3-r3": digestOf("b"),
    "1.27.4-r0": digestOf("c"),
    "1.27.4": digestOf("c"),
    "1.27": digestOf("c"),
  });
});

test("an older signed time never takes a tag, whatever was seen first", () => {
  const ledger = play([
    request({ version: "1.27.3-r2", content: "new", seen: 1, signed: 9 }),
    request({ version: "1.27.3-r2", content: "old", seen: 2, signed: 3 }),
  ]);
  expect(ledger?.tags["1.27.3-r2"]).toBe(digestOf("new"));
  expect(ledger?.builds).toHaveLength(2);
});

test("latest that goes back does not take floating tags back", () => {
  const start = play([request({ version: "1.28.0-r0", content: "new" }), request({ version: "1.27.9-r0", content: "other", seen: 2 })]);
  const templates = { ...request({ version: "1.27.9-r0", content: "other", seen: 2 }), tags: ["1"] };
  const ledger = play([{ ...request({ version: "1.28.0-r0", content: "new" }), tags: ["1"] }], start);
  expect(mint(ledger, templates, options)).toMatchObject({
    added: [],
    moved: [],
    refused: [{ tag: "1", code: "NewerThere", reason: expect.stringContaining("1.28.0-r0") }],
  });
});

test("the same proposal again changes nothing, not even the object", () => {
  const first = request({ version: "1.27.3-r2", content: "a" });
  const ledger = mint(undefined, first, options).ledger;
  expect(mint(ledger, first, options)).toEqual({ ledger, added: [], moved: [], refused: [] });
  expect(mint(ledger, { ...first, build: { ...first.build, seen: at(20) } }, options).ledger).toBe(ledger);
});

test("pinned, retired, unknown bindings and source tags are left alone", () => {
  const ledger: Ledger = {
    image,
    builds: [],
    tags: { "1.27.3": digestOf("mine"), "1.27": digestOf("mine") },
    pinned: { "1.27.3": { digest: digestOf("mine"), by: "ada", commit: "1f3c2ab" } },
    retired: { "1.27.3-r2": { by: "eve", reason: "broken build" } },
  };
  const made = request({ version: "1.27.3-r2", content: "a" });
  const result = mint(ledger, { ...made, tags: [...made.tags, "latest", "sha256-aa", "constructor"] }, options);
  expect(result.refused).toEqual([
    { tag: "1.27.3-r2", code: "Retired", reason: "retired by eve: broken build" },
    { tag: "1.27.3", code: "Pinned", reason: "pinned by ada in 1f3c2ab" },
    { tag: "1.27", code: "UnknownBinding", reason: expect.stringContaining("a person's choice") },
    { tag: "latest", code: "TagInvalid", reason: '"latest" is a source tag: upstream moves it' },
    { tag: "sha256-aa", code: "TagInvalid", reason: expect.stringContaining("belong to a digest") },
  ]);
  expect(result.added).toEqual([{ tag: "constructor", digest: digestOf("a") }]);
  expect(result.ledger.tags).toMatchObject({ "1.27.3": digestOf("mine"), "1.27": digestOf("mine") });
});

test("a version that cannot be read mints nothing and adds no build", () => {
  const made = {
    ...request({ version: "1.27.3", content: "a" }),
    build: { ...request({ version: "1.27.3", content: "a" }).build, version: "nightly" },
  };
  expect(mint(undefined, made, options)).toMatchObject({
    ledger: { builds: [], tags: {} },
    added: [],
    refused: [{}, {}].map(() => ({ code: "VersionInvalid" })),
  });
});

describe("retire", () => {
  const ledger = mint(undefined, request({ version: "1.27.3-r2", content: "a" }), options).ledger;

  test("takes a tag out for good", () => {
    const result = retire(ledger, [{ tag: "1.27", digest: digestOf("a"), reason: "rule old" }], "retentionpolicy default/keep");
    expect(result.removed).toEqual([{ tag: "1.27", digest: digestOf("a") }]);
    expect(result.ledger.retired).toEqual({ "1.27": { digest: digestOf("a"), by: "retentionpolicy default/keep", reason: "rule old" } });
    expect(result.ledger.builds).toBe(ledger.builds);
    const again = mint(result.ledger, request({ version: "1.27.9-r0", content: "z", seen: 5 }), options);
    expect(again.ledger.tags["1.27"]).toBeUndefined();
  });

  test("refuses what moved, what is pinned and what is not there", () => {
    const pinned: Ledger = { ...ledger, pinned: { "1.27.3": { by: "ada" } } };
    const result = retire(pinned, [{ tag: "1.27", digest: digestOf("b") }, { tag: "1.27.3" }, { tag: "9" }], "x", "why");
    expect(result.refused).toEqual([
      { tag: "1.27", reason: `points at ${digestOf("a")} now, not at ${digestOf("b")}` },
      { tag: "1.27.3", reason: "pinned by ada" },
      { tag: "9", reason: "there is no such version tag" },
    ]);
    expect(result.ledger).toBe(pinned);
  });
});

describe("models", () => {
  const made = fc.record({
    version: fc.constantFrom("1.27.3-r1", "1.27.3-r2", "1.27.4-r0", "1.28.0-r0", "1.28.0-r1", "2.0.0-rc.1"),
    content: fc.constantFrom("a", "b", "c", "d", "e", "f"),
    seen: fc.integer({ min: 0, max: 5 }),
    signed: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
  });
  // One content is one build: its times do not depend on when it arrives.
  const arrivals = fc.uniqueArray(made, { selector: ({ content }) => content, maxLength: 6 });

  const position = (ledger: Ledger, digest: Digest | undefined) => {
    const build = ledger.builds.find((candidate) => candidate.digest === digest);
    return build && { version: read(build.version), time: Date.parse(build.evidence.signed ?? build.seen) };
  };

  test("Newest: any order of arrival ends with the same tags", () => {
    fc.assert(
      fc.property(
        arrivals.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        ([one, other]) => {
          const ledgers = [one, other].map((list) => play(list.map((entry) => request(entry))));
          expect(ledgers[0]?.tags).toEqual(ledgers[1]?.tags);
          expect(new Set(ledgers[0]?.builds.map(({ digest }) => digest))).toEqual(new Set(ledgers[1]?.builds.map(({ digest }) => digest)));
        },
      ),
    );
  });

  test("First: any order of arrival ends with the same upstream version behind each tag", () => {
    fc.assert(
      fc.property(
        arrivals.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        ([one, other]) => {
          const [a, b] = [one, other].map((list) => {
            const ledger = play(list.map((entry) => request({ ...entry, onRebuild: "First" })));
            return Object.fromEntries(
              Object.entries(ledger?.tags ?? {}).map(([tag, digest]) => [tag, ledger && position(ledger, digest)?.version.upstream]),
            );
          });
          expect(a).toEqual(b);
        },
      ),
    );
  });

  test("tags only move up, builds are only added, and arriving twice changes nothing", () => {
    fc.assert(
      fc.property(arrivals, fc.constantFrom("Newest" as const, "First" as const), (list, onRebuild) => {
        let ledger: Ledger | undefined;
        for (const entry of [...list, ...list]) {
          const before: Ledger | undefined = ledger;
          ledger = mint(ledger, request({ ...entry, onRebuild }), options).ledger;
          if (before === undefined) continue;
          expect(ledger.builds.slice(0, before.builds.length)).toEqual(before.builds);
          for (const [tag, digest] of Object.entries(before.tags)) {
            const from = position(ledger, digest);
            const to = position(ledger, ledger.tags[tag]);
            if (from === undefined || to === undefined) throw new Error("a tag without a build");
            const order = compareVersions(to.version, from.version);
            expect(order > 0 || (order === 0 && to.time >= from.time)).toBe(true);
          }
        }
        expect(ledger?.builds.length ?? 0).toBe(list.length);
      }),
    );
  });
});
