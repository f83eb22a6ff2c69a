// What the settings make of "Push" in the distribution spec: manifests whose layers are not here, and repositories that are full.

import { afterAll, beforeAll, expect, test } from "vitest";

import { defaultSettings } from "../../src/config/settings.ts";
import { send } from "../support/http.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { digestOf, imageManifest, pushBlob, putManifest, randomBlob } from "./content.ts";

let registry: TestRegistry;
let url: string;

beforeAll(async () => {
  const overrides = [
    { repositories: ["small/large"], repositoryBytes: 0 },
    { repositories: ["small/**"], repositoryBytes: 4096 },
  ];
  const limits = { ...defaultSettings.limits, overrides, uploadsPerIdentity: 2 };
  registry = await startTestRegistry({ settings: { ...defaultSettings, allowMissingBlobs: ["sparse/**"], limits } });
  url = registry.url;
});
afterAll(() => registry.stop());

test("pushing manifests: one whose blobs are missing is 404, and 201 where allowMissingBlobs names the repository", async () => {
  const config = randomBlob(10);
  const layer = randomBlob(20);
  const manifest = imageManifest({ config: digestOf(config), layers: [digestOf(layer)] });
  const refused = await putManifest(url, "whole/app", "v1", manifest);
  expect(refused.status).toBe(404);
  expect(refused.body.toString()).toContain("MANIFEST_BLOB_UNKNOWN");

  expect((await putManifest(url, "sparse/app", "v1", manifest)).status).toBe(201);
  expect((await send(url, "GET", "/v2/sparse/app/manifests/v1")).status).toBe(200);
  expect((await send(url, "GET", `/v2/sparse/app/blobs/${digestOf(layer)}`)).status).toBe(404);
  await pushBlob(url, "sparse/app", layer);
  expect((await send(url, "GET", `/v2/sparse/app/blobs/${digestOf(layer)}`)).status).toBe(200);
});

test("pushing blobs: beyond the limit of the repository it is 403 DENIED, before a byte is sent where that can be known", async () => {
  await pushBlob(url, "small/app", randomBlob(3000));
  const blob = randomBlob(3000);
  const reply = await send(url, "POST", `/v2/small/app/blobs/uploads/?digest=${digestOf(blob)}`, {
    body: blob,
    headers: { expect: "100-continue" },
  });
  expect(reply.status).toBe(403);
  expect(JSON.parse(reply.body.toString())).toEqual({
    errors: [
      {
        code: "DENIED",
        message: expect.stringContaining("small/app has 2.9 KiB of the 4.0 KiB that it may have, and this needs 2.9 KiB more."),
        detail: { used: 3000, limit: 4096, needed: 3000 },
      },
    ],
  });
  for (const name of ["small/large", "other/app"]) {
    await pushBlob(url, name, blob);
    await pushBlob(url, name, randomBlob(3000));
  }
});

test("starting uploads: more than one identity may have are 429 with Retry-After", async () => {
  const start = () => send(url, "POST", "/v2/many/app/blobs/uploads/");
  expect([(await start()).status, (await start()).status]).toEqual([202, 202]);
  const reply = await start();
  expect(reply.status).toBe(429);
  expect(reply.headers["retry-after"]).toBe("60");
  expect(reply.body.toString()).toContain("You have 2 uploads open, the most there may be.");
});
