// What it is told to watch. Everything else of the operator: test/kubernetes.

import { pino } from "pino";
import { expect, test } from "vitest";

import { defaultSettings } from "../config/settings.ts";
import { startOperator } from "./main.ts";

test("a namespace that is named twice is watched once", async () => {
  const operator = await startOperator({
    access: { server: "https://127.0.0.1:1", namespace: "a", credentials: async () => ({ tls: {} }) },
    namespaces: ["a", "b", "a", "b"],
    settings: defaultSettings,
    registry: { url: "http://127.0.0.1:1", pullFrom: "http://127.0.0.1:1", tokenFile: "token" },
    record: "record",
    jobs: { run: async () => undefined },
    listen: { host: "127.0.0.1", port: 0 },
    recordListen: { host: "127.0.0.1", port: 0 },
    version: "0.0.0",
    logger: pino({ level: "silent" }),
  });
  expect(operator.summary).toMatch(/^Watching namespaces a, b; /);
  await operator.stop();
});
