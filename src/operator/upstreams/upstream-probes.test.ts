import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { UpstreamView } from "../../api/control/contents.ts";
import { ClientError } from "../../client/errors.ts";
import type { ProbeWish } from "./probe-wishes.ts";
import { UpstreamProbes } from "./upstream-probes.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(async () => {
  await Promise.all(probes.splice(0).map((one) => one.stop()));
  vi.useRealTimers();
});

const probes: UpstreamProbes[] = [];
type Said = Partial<UpstreamView>;
const answers: Said = { reachable: "True" };
const silent: Said = { reachable: "False", reason: "Unreachable" };

const wish = (key: string, more: Partial<ProbeWish> = {}): ProbeWish => ({
  key,
  generation: 1,
  secrets: "",
  requestedAt: undefined,
  ...more,
});

/** `registry`: what a probe finds; a promise is one that takes long. */
function start(registry: (key: string) => Said | Error | Promise<Said>, options: { readonly known?: Readonly<Record<string, Said>> } = {}) {
  const view = (key: string, said: Said): UpstreamView => ({
    key,
    prefix: "p",
    url: "https://example.org",
    hosts: [],
    generation: 1,
    reachable: "Unknown",
    message: "",
    credentialsLoaded: true,
    ...said,
  });
  const asked: [seconds: number, key: string][] = [];
  let views: Map<string, UpstreamView> | undefined = new Map(
    Object.entries(options.known ?? {}).map(([key, said]) => [key, view(key, said)]),
  );
  if (options.known === undefined) views = new Map();
  const begun = performance.now();
  const world = {
    asked,
    answered: 0,
    most: 0,
    running: 0,
    hush: () => (views = undefined),
    speak: () => (views = new Map()),
    subject: new UpstreamProbes({
      client: {
        probe: async (key) => {
          asked.push([Math.round((performance.now() - begun) / 1_000), key]);
          world.most = Math.max(world.most, ++world.running);
          try {
            const said = await registry(key);
            if (said instanceof Error) throw said;
            return view(key, said);
          } finally {
            world.running--;
          }
        },
      },
      known: () => views,
      heard: (heard) => views?.set(heard.key, heard),
      answered: () => world.answered++,
      logger: pino({ level: "silent" }),
    }),
  };
  probes.push(world.subject);
  return world;
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);
const keys = (asked: readonly (readonly [number, string])[]) => asked.map(([, key]) => key);

test("of five hundred that are new a few a second are asked, a few at once, each once", async () => {
  const names = Array.from({ length: 500 }, (_, index) => `default/u${index}`);
  const slow = () => new Promise<Said>((resolve) => setTimeout(() => resolve(answers), 700));
  const world = start(slow);
  const { subject, asked } = world;
  subject.want(names.map((name) => wish(name)));
  await pass(10);
  expect(asked.length).toBeLessThanOrEqual(51);
  expect(asked.length).toBeGreaterThan(40);
  // Rounds go on meanwhile.
  subject.want(names.map((name) => wish(name)));
  await pass(3_600);
  expect(keys(asked).sort()).toEqual(names.sort());
  expect(world.most).toBe(4);
});

test("what the registry knows already is not asked; another spec, another Secret, a request are", async () => {
  const world = start(() => ({ ...answers, generation: 2 }), {
    known: { "a/known": answers, "a/old": { ...answers, generation: 1 }, "a/new": {} },
  });
  const { subject, asked } = world;
  const wishes = [wish("a/known"), wish("a/old", { generation: 2 }), wish("a/new", { generation: 2 })];
  subject.want(wishes);
  await pass(3_600);
  expect(keys(asked)).toEqual(["a/old", "a/new"]);
  // On its way, a Secret is no other one yet.
  subject.want([wish("a/known", { secrets: undefined })]);
  await pass(60);
  expect(asked).toHaveLength(2);
  subject.want([wish("a/known", { secrets: "rotated" })]);
  await pass(60);
  expect(keys(asked).slice(2)).toEqual(["a/known"]);
  subject.want([wish("a/known", { secrets: "rotated", requestedAt: "now" })]);
  expect([subject.awaits("a/known", "now"), subject.awaits("a/known", "then"), subject.awaits("a/other", "now")]).toEqual([
    true,
    false,
    false,
  ]);
  await pass(60);
  expect([keys(asked).slice(3), subject.awaits("a/known", "now"), world.answered]).toEqual([["a/known"], false, 1]);
  // Its status says so by now.
  subject.want([wish("a/known", { secrets: "rotated" })]);
  await pass(3_600);
  expect(asked).toHaveLength(4);
});

test("one that does not answer is asked more and more rarely, until it does; one whose login is refused is not", async () => {
  let said = silent;
  const { subject, asked } = start(() => said);
  subject.want([wish("a/away")]);
  await pass(1_500);
  expect(asked.map(([second]) => second)).toEqual([0, 30, 90, 210, 450, 930]);
  await pass(3_600);
  const times = asked.map(([second]) => second);
  expect(times.at(-1)! - times.at(-2)!).toBe(600);
  said = answers;
  await pass(600);
  const before = asked.length;
  await pass(3_600);
  expect(asked).toHaveLength(before);

  said = { reachable: "False", reason: "AuthenticationFailed" };
  subject.want([wish("a/locked")]);
  await pass(7_200);
  expect(asked).toHaveLength(before + 1);
});

test("a change begins anew what had become rare", async () => {
  const { subject, asked } = start(() => ({ ...silent, generation: 2 }));
  subject.want([wish("a/away")]);
  await pass(2_000);
  const before = asked.length;
  subject.want([wish("a/away", { generation: 2 })]);
  await pass(31);
  expect(asked.slice(before).map(([second]) => second)).toEqual([2_000, 2_030]);
});

test("who asks for it goes first", async () => {
  const { subject, asked } = start(() => answers);
  const names = Array.from({ length: 50 }, (_, index) => `default/u${index}`);
  subject.want(names.map((name) => wish(name)));
  await pass(2);
  subject.want([...names.map((name) => wish(name)), wish("default/mine", { requestedAt: "now" })]);
  const before = asked.length;
  await pass(1);
  expect(asked[before]?.[1]).toBe("default/mine");
});

test("a registry that is silent, or behind, is asked again after a moment; before it was heard nothing is asked", async () => {
  let said: Said | Error = new ClientError("Unreachable", "No answer from the registry");
  const world = start(() => said);
  const { subject, asked } = world;
  world.hush();
  subject.want([wish("a/a", { generation: 2 })]);
  await pass(60);
  expect(asked).toEqual([]);
  world.speak();
  subject.want([wish("a/a", { generation: 2 })]);
  await pass(11);
  said = { ...answers, generation: 1 };
  await pass(5);
  said = { ...answers, generation: 2 };
  await pass(3_600);
  expect(asked.map(([second]) => second)).toEqual([60, 65, 70, 75, 80]);
});

test("what is gone is asked no more", async () => {
  const { subject, asked } = start(() => silent);
  subject.want([wish("a/a")]);
  await pass(1);
  subject.want([]);
  await pass(3_600);
  expect(asked).toHaveLength(1);
});
