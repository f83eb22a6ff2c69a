// `PUT /api/v1/workloads/<cluster>`: whose reports are taken, of what form and size, and what a run says while one is missing.

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, expect, test } from "vitest";

import type { WorkloadReport } from "../../src/api/control/workloads.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { runPrune } from "../../src/jobs/prune.ts";
import { digestOf, pushImage } from "../conformance/content.ts";
import { send } from "../support/http.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
let control: ControlClient;

beforeAll(async () => {
  registry = await startTestRegistry({ settings: { ...defaultSettings, clusters: [{ name: "prod" }] } });
  control = new ControlClient({ url: registry.url, token: adminToken });
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `ci:${hashSync("ci-password", 4)}\n` });
  await pushImage(registry.url, "team-a/app", "v1");
  const spec = {
    repositories: { include: ["**"] },
    action: "Delete",
    keep: [{ name: "none", tags: "none" }],
    limits: { maxDeletePercent: 100 },
  };
  await publishFirst(registry.url, [{ kind: "RetentionPolicy", name: "builds", spec }]);
});
afterAll(async () => {
  await control.close();
  await registry.stop();
});

const now = () => new Date().toISOString();
const put = (cluster: string, body: unknown, authorization = `Bearer ${adminToken}`) =>
  send(registry.url, "PUT", `/api/v1/workloads/${cluster}`, {
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
const whole = (images: WorkloadReport["images"]): WorkloadReport => ({ takenAt: now(), scope: "Cluster", complete: true, images });

test("a run of a policy whose cluster never reported fails, and says so in its result", async () => {
  const { id } = await control.startRun({ kind: "prune", policy: "default/builds", trigger: "manual" });
  const end = await runPrune({ control, run: id, signal: new AbortController().signal });
  const message = "what clusters use is unknown, so everything is kept: cluster prod has never reported";
  expect(end).toMatchObject({ succeeded: false, message: `stopped, WorkloadsUnknown: ${message}`, result: { deleted: 0 } });
  expect((await control.run(id)).result).toMatchObject({ blocked: { reason: "WorkloadsUnknown", message } });
});

test("a report of 20,000 images, each with its digest, is taken whole", async () => {
  const images = Array.from({ length: 20_000 }, (_, index) => ({
    image: `registry.with-a-long-name.example.com/team-${index % 50}/a-service-with-a-name/component-${index}:v1.2.3@${digestOf(String(index))}`,
    firstSeen: "2026-01-01T00:00:00.000Z",
  }));
  expect(await control.reportWorkloads("prod", whole(images))).toMatchObject({
    cluster: "prod",
    images: 20_000,
    reportedAt: expect.any(String),
  });
  expect((await control.plan("default/builds")).blocked).toBeUndefined();
});

test("strangers and plain users report nothing", async () => {
  expect((await put("prod", whole([]), "")).status).toBe(401);
  expect((await put("prod", whole([]), "Bearer wrong")).status).toBe(401);
  expect((await put("prod", whole([]), `Basic ${Buffer.from("ci:ci-password").toString("base64")}`)).status).toBe(403);
});

test.each([
  ["no scope", { takenAt: now(), complete: true, images: [] }],
  ["no word whether it is whole", { takenAt: now(), scope: "Cluster", images: [] }],
  ["no namespaces at all", { takenAt: now(), scope: [], complete: true, images: [] }],
  ["what is no namespace", { takenAt: now(), scope: ["Team A"], complete: true, images: [] }],
  ["no time", { takenAt: "now", scope: "Cluster", complete: true, images: [] }],
  ["a name with a zero byte", whole([{ image: "a\u0000b" }])],
  ["a name that is too long", whole([{ image: "x".repeat(1_025) }])],
  ["an empty name", whole([{ image: "" }])],
  ["no list of images", { ...whole([]), images: {} }],
  ["a time in the future", { ...whole([]), takenAt: "2999-01-01T00:00:00Z" }],
])("a report with %s is refused, and nothing of it is kept", async (_, body) => {
  const before = await control.plan("default/builds");
  expect(await put("prod", body)).toMatchObject({ status: 400 });
  expect((await control.plan("default/builds")).entries).toEqual(before.entries);
});

test("a cluster that is not configured is named", async () => {
  const reply = await put("mine", whole([]));
  expect([reply.status, reply.body.toString()]).toEqual([404, expect.stringContaining("No cluster mine is configured")]);
});
