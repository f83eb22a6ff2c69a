import { expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import type { UpstreamView } from "../../api/control/contents.ts";
import { UpstreamWatch } from "./upstream-watch.ts";

/** What is told of the first Upstream, with the number of the answer that did it. */
async function toldOf(answers: readonly (readonly UpstreamView[] | Error)[]): Promise<readonly [number, UpstreamView | undefined][]> {
  const told: [number, UpstreamView | undefined][] = [];
  const stopping = new AbortController();
  let asked = 0;
  const upstreams = async () => {
    const answer = answers[asked++] ?? [];
    if (asked === answers.length) stopping.abort();
    if (answer instanceof Error) throw answer;
    return [...answer];
  };
  const changed = () => told.push([asked, watch.views?.values().next().value]);
  const watch: UpstreamWatch = new UpstreamWatch({ client: { upstreams }, interval: 1, changed });
  await watch.run(stopping.signal);
  return told;
}

test("tells what is new, and what is said first after silence, though it is the same", async () => {
  const view = (reachable: UpstreamView["reachable"]) => ({ key: "default/cgr", reachable, message: "" }) as unknown as UpstreamView;
  const silence = new Error("No answer from the registry");
  const answers = [[view("True")], [view("True")], [view("False")], silence, silence, [view("False")], [view("False")]];
  expect((await toldOf(answers)).map(([asked, seen]) => [asked, seen?.reachable])).toEqual([
    [1, "True"],
    [3, "False"],
    [6, "False"],
  ]);
});

const seen: UpstreamView = {
  key: "default/cgr",
  prefix: "cgr",
  url: "https://cgr.dev",
  hosts: [],
  generation: 1,
  reachable: "True",
  message: "answers",
  heardAt: "2026-11-21T10:00:00.000Z",
  credentialsLoaded: true,
};
const { heardAt: _, ...never } = seen;
const notAsked: UpstreamView = { ...never, reachable: "Unknown", message: "not asked yet" };

test("of many processes that answer in turn the one counts that asked upstream last", async () => {
  const older: UpstreamView = { ...seen, reachable: "False", message: "cgr.dev answers 503", heardAt: "2026-11-21T09:00:00.000Z" };
  const newer: UpstreamView = { ...older, heardAt: "2026-11-21T11:00:00.000Z" };
  expect(await toldOf([[seen], [notAsked], [older], [seen], [newer], [seen], [notAsked]])).toEqual([
    [1, seen],
    [5, newer],
  ]);
});

test("what an upstream that answers said last is no news; another generation, its Secret and its limit are", async () => {
  const refused = { ...seen, message: "cgr.dev refuses chainguard/nginx with 404", heardAt: "2026-11-21T10:00:01.000Z" };
  const changed = { ...notAsked, generation: 2 };
  const noSecret = { ...changed, credentialsLoaded: false, message: "there is no Secret default/cgr" };
  const rateLimit = { limit: 100, remaining: 0, resetsAt: "2020-01-01T00:00:00.000Z" };
  const limited = { ...seen, generation: 2, rateLimit };
  const { rateLimit: over, ...unlimited } = limited;
  expect(over).toBeDefined();
  expect(await toldOf([[seen], [refused], [seen], [changed], [noSecret], [limited], [changed]])).toEqual([
    [1, seen],
    [4, changed],
    [5, noSecret],
    [6, limited],
    [7, unlimited],
  ]);
});

test("what a probe has heard is told at once, and holds against a process that has heard less; before the first answer nobody is told", async () => {
  const told: unknown[] = [];
  const stopping = new AbortController();
  const upstreams = async () => [notAsked];
  const changed = () => told.push(watch.views?.get(seen.key)?.reachable);
  const watch: UpstreamWatch = new UpstreamWatch({ client: { upstreams }, interval: 60_000, changed });
  watch.hear(seen);
  expect([told, watch.views]).toEqual([[], undefined]);
  const running = watch.run(stopping.signal);
  await eventually(() => expect(told).toEqual(["Unknown"]));
  watch.hear(seen);
  watch.hear(notAsked);
  expect(told).toEqual(["Unknown", "True"]);
  stopping.abort();
  await running;
});
