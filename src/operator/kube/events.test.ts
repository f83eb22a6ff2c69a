// What an event says, for whoever reads it with kubectl. That it is written, and counted up: test/kubernetes/status-writer.test.ts.

import { pino } from "pino";
import { expect, test } from "vitest";

import { Events } from "./events.ts";
import type { KubeClient } from "./kube-client.ts";

test("a command that an event names is one that somebody with a kubeconfig can run", async () => {
  const notes: unknown[] = [];
  const client = { send: async ({ body }: { body?: object }) => void notes.push((body as { note?: string }).note) };
  const events = new Events({ client: client as unknown as KubeClient, instance: "one", logger: pino({ level: "silent" }) });
  const regarding = { apiVersion: "wharfinger.dev/v1alpha1", kind: "RetentionPolicy", namespace: "a", name: "b", uid: "u" };
  await events.say(regarding, { type: "Warning", reason: "RunFailed", note: "see `npx wharfinger plan a/b`" });
  expect(notes).toEqual(["see `kubectl wharfinger plan a/b`"]);
});
