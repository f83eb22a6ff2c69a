// What waits is told by events: each once, and no more than an API server can take. That they arrive: test/kubernetes/removal-guard.test.ts.

import { expect, test } from "vitest";

import type { WaitingRemovals } from "../rounds/removals.ts";
import type { EventDraft, Regarding } from "./events.ts";
import { WaitingRemovalEvents } from "./waiting-removals.ts";

const removal = (namespace: string, commit = "1f3c2ab"): WaitingRemovals => ({
  namespace,
  keys: [{ kind: "AccessPolicy", namespace, name: "p0" }],
  loss: { gone: 4, stood: 5, of: "resources of this namespace" },
  commit,
  word: `${commit}/${namespace}`,
});

/** An API server that answers when it is let. */
function world() {
  const said: string[] = [];
  const held: (() => void)[] = [];
  const say = ({ namespace }: Regarding, { note }: EventDraft) =>
    new Promise<void>((resolve) => {
      said.push(`${namespace} ${/confirm-removal \S+$/.exec(note)?.[0] ?? "tenant"}`);
      held.push(resolve);
    });
  const events = new WaitingRemovalEvents({ events: { say }, home: "home", howToSay: (decision, word) => `${decision} ${word}` });
  const answer = async () => {
    held.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { said, events, answer };
}

test("each is told once, to the administrators with the command and to those whose it was without", async () => {
  const { said, events, answer } = world();
  events.take([removal("team-a")]);
  events.take([removal("team-a")]);
  await answer();
  await answer();
  events.take([removal("team-a")]);
  events.take([removal("team-a", "2f3c2ab")]);
  await answer();
  await answer();
  expect(said).toEqual(["home confirm-removal 1f3c2ab/team-a", "team-a tenant", "home confirm-removal 2f3c2ab/team-a", "team-a tenant"]);
});

test("while the API server is slow, of one that grows only the last is told, and of what waits no more nothing", async () => {
  const { said, events, answer } = world();
  events.take([removal("team-a")]);
  for (const commit of ["2f3c2ab", "3f3c2ab", "4f3c2ab"]) events.take([removal("team-a", commit), removal("team-b", commit)]);
  events.take([removal("team-a", "4f3c2ab")]);
  for (let answers = 0; answers < 9; answers++) await answer();
  expect(said).toEqual(["home confirm-removal 1f3c2ab/team-a", "team-a tenant", "home confirm-removal 4f3c2ab/team-a", "team-a tenant"]);
});

test("an end waits for what is being told, and not for all that is still to be told", async () => {
  const { said, events, answer } = world();
  events.take(Array.from({ length: 50 }, (_, index) => removal(`team-${index}`)));
  const stopped = events.stop();
  await answer();
  await answer();
  await stopped;
  events.take([removal("later")]);
  expect(said).toEqual(["home confirm-removal 1f3c2ab/team-0", "team-0 tenant"]);
});
