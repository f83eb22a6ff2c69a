// How far a Secret has come, by what the processes of the registry say. The way itself: test/kubernetes/credentials.test.ts.

import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import { hashOf } from "../../domain/mounted-secrets.ts";
import type { Files } from "./credentials-bundle.ts";
import { Delivery, type DeliveryOptions } from "./delivery.ts";

const at = "2026-11-22T10:00:00Z";
const pod = (id: string, credentials?: string) => ({
  id,
  revision: "r",
  seenAt: at,
  ...(credentials === undefined ? {} : { credentials }),
});

let password: string;
let stored: Files | undefined;
let delivery: Delivery;

const options = (): DeliveryOptions => ({
  store: {
    name: "registry/wharfinger-credentials",
    read: async () => stored,
    write: async (files) => (stored = files),
  },
  source: {
    contentOf: () => ({ state: "there", data: new Map([["password", Buffer.from(password)]]) }),
    onChange: () => () => undefined,
    look: () => undefined,
  },
  users: [],
  precedence: { administrators: "registry", tenants: [] },
  record: async () => ({ pods: [] }),
  logger: pino({ level: "silent" }),
});
const owner = { kind: "Secret", namespace: "registry", name: "pull" } as const;
const wanted = [{ ...owner, uses: () => true }];

beforeEach(async () => {
  password = "one";
  stored = undefined;
  delivery = new Delivery(options());
  await delivery.start();
});
afterEach(() => delivery.stop());

/** The hash of what is gathered then. */
async function gathered(): Promise<string> {
  const before = stored;
  delivery.want(wanted, { keepOthers: false });
  await eventually(() => expect(stored).not.toBe(before));
  return hashOf(stored ?? new Map()) ?? "";
}
const state = () => delivery.stateOf(owner);

test("it has come when every process says so; of one that says nothing of what it has nobody knows", async () => {
  const hash = await gathered();
  delivery.heard([pod("a", hash), pod("b")]);
  expect(state()).toEqual({ state: "unsaid" });
  delivery.heard([pod("a", hash), pod("b", "what was there before")]);
  expect(state()).toMatchObject({ state: "onItsWay", reason: "Progressing" });
  delivery.heard([pod("a", hash), pod("b", hash)]);
  expect(state()).toEqual({ state: "delivered" });
  delivery.heard([]);
  expect(state(), "no process lives that could say it").toEqual({ state: "unsaid" });
});

test("of a process whose mount is empty it is known that it has nothing yet", async () => {
  const hash = await gathered();
  const nothing = hashOf(new Map());
  expect(nothing).toBeDefined();
  delivery.heard([pod("a", hash), pod("b", nothing)]);
  expect(state()).toMatchObject({ state: "onItsWay", served: false });
});

test("what processes had before this one began nobody here knows", async () => {
  const hash = await gathered();
  delivery.heard([pod("a", hash), pod("b", "from before")]);
  expect(state()).toMatchObject({ state: "onItsWay", served: undefined });
  delivery.heard([pod("a", "from before"), pod("b", hashOf(new Map()))]);
  expect(state(), "one that has nothing of it serves nothing with it").toMatchObject({ served: false });
});

test("what does not arrive in the kubelet's time is said to have gone astray, with where to look", async () => {
  await gathered();
  vi.useFakeTimers({ now: new Date(at), toFake: ["Date"] });
  try {
    delivery.heard([pod("b", hashOf(new Map())), pod("a", hashOf(new Map()))]);
    vi.setSystemTime("2026-11-22T10:02:59Z");
    expect(state()).toMatchObject({ reason: "Progressing" });
    vi.setSystemTime("2026-11-22T10:03:01Z");
    delivery.heard([pod("b", hashOf(new Map())), pod("a", hashOf(new Map()))]);
    expect(state()).toMatchObject({
      reason: "NotDelivered",
      message:
        "not every process of the registry has Secret registry/pull as it is now since 2026-11-22T10:00:00.000Z, a kubelet takes two minutes at most: look at whether Secret registry/wharfinger-credentials is what they mount for --secrets, and what the events of their Pods say (for example of a)",
    });
  } finally {
    vi.useRealTimers();
  }
});

test("as long as nobody could read what the processes were given, nothing is said to have come", async () => {
  const unread = new Delivery({
    ...options(),
    store: { name: "registry/all", read: () => Promise.reject(new Error("no")), write: async (files) => files },
  });
  await unread.start();
  unread.want(wanted, { keepOthers: false });
  unread.heard([pod("a", hashOf(new Map()))]);
  expect(unread.stateOf(owner)).toMatchObject({ state: "onItsWay", served: undefined, reason: "NotDelivered" });
  unread.heard([pod("a")]);
  expect(unread.stateOf(owner), "somebody else brings them").toEqual({ state: "unsaid" });
  await unread.stop();
});

test("a process that has the one before serves with it meanwhile", async () => {
  const before = await gathered();
  password = "two";
  const hash = await gathered();
  expect(hash).not.toBe(before);
  delivery.heard([pod("a", hash), pod("b", before)]);
  expect(state()).toMatchObject({ state: "onItsWay", served: true });
});
