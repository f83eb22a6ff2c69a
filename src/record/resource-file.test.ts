import { assert, property, shuffledSubarray } from "fast-check";
import { expect, test } from "vitest";

import { readResource, renderResource } from "./resource-file.ts";
import { readLedger, writeLedger } from "./ledger-file.ts";
import type { Ledger } from "../domain/ledger.ts";

const key = { kind: "Upstream", namespace: "default", name: "hub" } as const;
const path = "upstreams/default/hub.yaml";
const spec = { prefix: "hub", url: "https://registry-1.docker.io" };
const read = (text: string) => readResource(path, key, Buffer.from(text));

test("the same input gives the same bytes, whatever the order of its fields", () => {
  const shuffled = shuffledSubarray(Object.entries({ ...spec, offline: true, hosts: ["docker.io", "a.io"], insecure: false }), {
    minLength: 5,
  });
  const expected = renderResource(key, { ...spec, offline: true, hosts: ["docker.io", "a.io"], insecure: false });
  expect(() => assert(property(shuffled, (entries) => renderResource(key, Object.fromEntries(entries)) === expected))).not.toThrow();
});

test("what is rendered is read back", () => {
  expect(read(renderResource(key, spec))).toMatchObject({ spec: { ...spec, cache: { tagTTL: "5m" } }, warnings: [] });
});

test("fields that this release does not know are kept and ignored with a warning", () => {
  const before = `${renderResource(key, spec)}owner: team-a\n`;
  expect(read(before)).toMatchObject({ warnings: [{ message: "owner: unknown field, kept and ignored" }] });
  expect(renderResource(key, { ...spec, offline: true }, Buffer.from(before))).toContain("owner: team-a\n");
});

const good = renderResource(key, spec);

test.each([
  ["an anchor", good.replace("prefix: hub", "prefix: &p hub"), "anchors are not accepted: write the value out", 7],
  ["an alias", `${good}other: *p\n`, "aliases are not accepted: write the value out", 9],
  ["a merge key", `${good}<<: {a: 1}\n`, "merge keys (<<) are not accepted: write the fields out", 9],
  ["a tag", good.replace("prefix: hub", "prefix: !env hub"), "Unresolved tag: !env", 7],
  [
    "a binary value",
    good.replace("prefix: hub", "prefix: !!binary aHVi"),
    "the tag tag:yaml.org,2002:binary is not accepted: write the value plainly",
    7,
  ],
  ["a key twice", `${good}kind: Upstream\n`, '"kind" is there twice', 9],
  ["two documents", `${good}---\n${good}`, "has a second document; one file is one document", 9],
  ["another kind", good.replace("kind: Upstream", "kind: TagPolicy"), "kind: is not Upstream, which this folder holds", 2],
  ["another name", good.replace("name: hub", "name: cgr"), "metadata: is not default/hub, which the file is named after", 3],
  [
    "a newer form",
    good.replace("/v1", "/v2"),
    "apiVersion: record.wharfinger.dev/v2 is a newer form than record.wharfinger.dev/v1: a newer Wharfinger wrote it",
    1,
  ],
  [
    "a resource for the API server",
    good.replace("record.wharfinger.dev/v1", "wharfinger.dev/v1alpha1"),
    "apiVersion: is not record.wharfinger.dev/v1",
    1,
  ],
])("%s is refused with its line", (_, text, message, line) => {
  expect(read(text)).toEqual({ path, line, message });
});

test("a file that is too large is not parsed", () => {
  expect(read(`#${"x".repeat(300_000)}`)).toMatchObject({ message: "is 300001 bytes long; at most 262144 are read" });
});

const digest = (letter: string) => `sha256:${letter.repeat(64)}` as const;
const ledger: Ledger = {
  image: "cgr.dev/chainguard/nginx",
  builds: [],
  tags: { "1.27": digest("a"), "1": digest("a"), latest_2: digest("b") },
  pinned: {},
  retired: {},
};

test("a ledger is read back as it was written, tags that look like numbers too", () => {
  expect(readLedger("x", Buffer.from(writeLedger(ledger)))).toEqual(ledger);
});

test("a change of a ledger touches nothing else in the file", () => {
  const before = `# ours\n${writeLedger(ledger)}team: web # who asks\n`;
  const after = writeLedger(
    { ...ledger, tags: { ...ledger.tags, "1.28": digest("c") }, retired: { "0.9": { by: "Jane" } } },
    Buffer.from(before),
  );
  const lines = new Set(before.split("\n"));
  expect(after.split("\n").filter((line) => !lines.has(line))).toEqual([
    `  "1.28": ${digest("c")}`,
    "retired:",
    '  "0.9":',
    "    by: Jane",
  ]);
  expect([...lines].filter((line) => !after.split("\n").includes(line))).toEqual([]);
});

test.each([
  ["a tag that is none", writeLedger(ledger).replace("latest_2", "-x"), 'tags: "-x" is not a tag', 6],
  [
    "a digest that is none",
    writeLedger(ledger).replace(digest("b"), "sha256:b"),
    expect.stringContaining("tags") as string,
    expect.any(Number) as number,
  ],
  ["a list", "[]\n", "is not a map of fields", 1],
])("a ledger with %s is refused with its line", (_, text, message, line) => {
  expect(readLedger("x", Buffer.from(text))).toEqual({ path: "x", line, message });
});
