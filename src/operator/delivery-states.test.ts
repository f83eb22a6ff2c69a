// How far a Secret has come, by what the processes of the registry say. The way itself: test/kubernetes/credentials.test.ts.

import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { hashOf } from "../domain/mounted-secrets.ts";
import type { Files } from "./credentials-bundle.ts";
import { Delivery } from "./delivery.ts";

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

beforeEach(async () => {
  password = "one";
  stored = undefined;
  delivery = new Delivery({
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
  await delivery.start();
});
afterEach(() => delivery.stop());

/** The hash of what is gathered then. */
async function gathered(): Promise<string> {
  const before = stored;
  delivery.want([{ kind: "Secret", namespace: "registry", name: "pull", uses: () => true }], { keepOthers: false });
  return vi.waitFor(() => {
    expect(stored).not.toBe(before);
    return hashOf(stored ?? new Map()) ?? "";
  });
}
const state = () => delivery.stateOf({ kind: "Secret", namespace: "registry", name: "pull" });

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

test("a process that has the one before serves with it meanwhile", async () => {
  const before = await gathered();
  password = "two";
  const hash = await gathered();
  expect(hash).not.toBe(before);
  delivery.heard([pod("a", hash), pod("b", before)]);
  expect(state()).toMatchObject({ state: "onItsWay", served: true });
});
