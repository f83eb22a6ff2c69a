import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { KeyRing, type Issuer } from "./key-ring.ts";
import { KeySetError, type IssuerKey } from "./key-set.ts";

/** `name.json`: with keys out of a file. */
const issuer = (name: string): Issuer => ({
  kind: "Kubernetes",
  name: name.replace(".json", ""),
  issuer: "https://kubernetes.default.svc.cluster.local",
  jwks: name.endsWith(".json") ? `/etc/${name}` : `https://${name}.example.com/jwks`,
});
const key = (id: string): IssuerKey => ({ id, algorithm: "RS256", key: new Uint8Array() });
const away = new KeySetError("no keys: connect ECONNREFUSED", { temporary: true });

let now: number;
let asked: string[];
let lines: { level: number; msg: string }[];
/** By issuer's URL: its keys, or why there are none. */
let published: Record<string, readonly IssuerKey[] | Error>;
let rings: KeyRing[];

async function open(...names: string[]): Promise<KeyRing> {
  const ring = await KeyRing.open({
    issuers: names.map(issuer),
    logger: pino({ level: "warn" }, { write: (line: string) => lines.push(JSON.parse(line) as (typeof lines)[number]) }),
    now: () => now,
    read: async ({ jwks }) => {
      asked.push(jwks ?? "");
      const found = published[/([\w-]+)\.(?:example|json)/.exec(jwks ?? "")?.[1] ?? ""] ?? [];
      if (found instanceof Error) throw found;
      return found;
    },
  });
  rings.push(ring);
  asked = [];
  return ring;
}

beforeEach(() => {
  vi.useFakeTimers();
  now = 0;
  asked = [];
  lines = [];
  rings = [];
  published = { home: [key("h1")], edge: [key("e1")] };
});
afterEach(() => {
  for (const ring of rings) ring.close();
  vi.useRealTimers();
});

const ownerOf = async (ring: KeyRing, id: string) => (await ring.find(id))?.issuer.name;

test("a key says whose it is, though the clusters call themselves the same", async () => {
  const ring = await open("home", "edge");
  expect(await ownerOf(ring, "h1")).toBe("home");
  expect(await ownerOf(ring, "e1")).toBe("edge");
  expect(asked).toEqual([]);
});

test("a key id that is in two files is refused at the start", async () => {
  published = { home: [key("same")], edge: [key("same")] };
  await expect(open("home.json", "edge.json")).rejects.toThrow("The key id same is in the keys of home and of edge");
});

test.each([
  ["the first one's, of two that publish it", ["home", "edge"], "home"],
  ["this cluster's, of two that publish it", ["edge", "in-cluster"], "in-cluster"],
  ["this cluster's, before a file", ["edge.json", "in-cluster"], "in-cluster"],
  ["that of a file, before who publishes it", ["edge", "home.json"], "home"],
])("a key id that a cluster publishes as its own does not stop a start: it is %s", async (_, names, owner) => {
  published = Object.fromEntries(names.map((name) => [name.replace(".json", ""), [key("same"), key(`of-${name}`)]]));
  const ring = await open(...names);
  expect(await ownerOf(ring, "same")).toBe(owner);
  expect(await Promise.all(names.map((name) => ownerOf(ring, `of-${name}`)))).toEqual(names.map((name) => name.replace(".json", "")));
  expect(lines.map(({ level, msg }) => [level, msg])).toEqual([[50, expect.stringContaining(`It counts as that of ${owner}.`)]]);
  // Said once.
  await vi.advanceTimersByTimeAsync(15 * 60_000);
  expect(lines).toHaveLength(1);
});

test("this cluster's new key is its own, though another has published it first", async () => {
  published = { "in-cluster": [key("h1")], edge: [key("e1"), key("h2")] };
  const ring = await open("edge", "in-cluster");
  expect(await ownerOf(ring, "h2")).toBe("edge");
  published["in-cluster"] = [key("h2")];
  await vi.advanceTimersByTimeAsync(5 * 60_000);
  expect(await ownerOf(ring, "h2")).toBe("in-cluster");
});

test("one cluster with two keys of an id has the first", async () => {
  published = { home: [key("same"), key("same")] };
  const ring = await open("home");
  expect([await ownerOf(ring, "same"), lines]).toEqual(["home", []]);
});

test("a key id that a second cluster comes with later stays the first one's, whichever is named first", async () => {
  const ring = await open("home", "edge");
  published["home"] = [key("h1"), key("e1")];
  await vi.advanceTimersByTimeAsync(5 * 60_000);
  expect(await ownerOf(ring, "e1")).toBe("edge");
  expect(lines.map(({ msg }) => msg)).toEqual([expect.stringContaining("The key id e1 is in the keys of edge and of home")]);
});

test("a new key is found by its first token, and made-up ids do not make us ask again and again", async () => {
  const ring = await open("home");
  published["home"] = [key("h1"), key("h2")];
  now = 29_999;
  expect(await ring.find("h2")).toBeUndefined();
  expect(asked).toEqual([]);
  now = 30_000;
  const found = await Promise.all([ownerOf(ring, "h2"), ownerOf(ring, "made-up"), ownerOf(ring, "made-up-too")]);
  expect(found).toEqual(["home", undefined, undefined]);
  expect(asked).toHaveLength(1);
  for (let count = 0; count < 1_000; count++) await ring.find(`made-up-${count}`);
  expect(asked).toHaveLength(1);
});

test("a key that its cluster took back stops counting within five minutes", async () => {
  const ring = await open("home");
  published["home"] = [key("h2")];
  await vi.advanceTimersByTimeAsync(5 * 60_000);
  expect(await ring.find("h1")).toBeUndefined();
  expect(await ownerOf(ring, "h2")).toBe("home");
});

test("a cluster that does not answer keeps the keys that it had, and is told of once", async () => {
  const ring = await open("home");
  published["home"] = away;
  await vi.advanceTimersByTimeAsync(15 * 60_000);
  expect(await ownerOf(ring, "h1")).toBe("home");
  expect(lines).toHaveLength(1);
  published["home"] = [key("h3")];
  await vi.advanceTimersByTimeAsync(5 * 60_000);
  expect(await ring.find("h1")).toBeUndefined();
});

test("a start does not need the clusters to answer: their keys come with the first tokens", async () => {
  published["edge"] = away;
  const ring = await open("home", "edge");
  expect(await ownerOf(ring, "h1")).toBe("home");
  published["edge"] = [key("e1")];
  now = 30_000;
  expect(await ownerOf(ring, "e1")).toBe("edge");
});

test("a start needs the files to be right, and later their last content counts", async () => {
  const broken = new KeySetError("home.json holds no set of keys", { temporary: false });
  published["home"] = broken;
  await expect(open("home")).rejects.toThrow("auth.issuers home: home.json holds no set of keys");
  published["home"] = [key("h1")];
  const ring = await open("home");
  published["home"] = broken;
  await vi.advanceTimersByTimeAsync(5 * 60_000);
  expect(await ownerOf(ring, "h1")).toBe("home");
});
