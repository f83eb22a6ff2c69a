import { afterAll, beforeAll, expect, test } from "vitest";

import {
  longTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf } from "../../../domain/digest.ts";
import { appendActivity, pruneActivity } from "../../metadata/activity.ts";
import { listActivity } from "../activity.ts";
import { listRepositories, storageUsage } from "./usage.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes(longTimes);
});
afterAll(() => registry.close());

test("repositories with their tags, manifests and bytes; what may not be pulled is not there", async () => {
  const { push, database } = registry;
  const image = await pushImage(push, "team-a/app", ["v1", "latest"]);
  for (const digest of [image.config, image.layer]) {
    await push.mount("team-b/app", pusher, { digest, from: "team-a/app", readable: () => true });
  }
  await pushManifest(push, "team-b/app", image.bytes, { tags: ["copy"] });
  await pushBlob(push, "team-b/app", Buffer.alloc(1000));
  await registry.rows("INSERT INTO repositories (name, upstream) VALUES ('cgr/nginx', 'default/cgr')");
  await registry.rows(
    "INSERT INTO ledger (repository, tag, digest, version) SELECT id, '1.0', $1, '1.0' FROM repositories WHERE name = 'cgr/nginx'",
    [digestOf("x")],
  );
  const own = { kind: "own", manifests: 1 };
  expect(await listRepositories(database, () => true)).toEqual([
    { name: "cgr/nginx", kind: "proxied", tags: 1, manifests: 0, bytes: 0 },
    { name: "team-a/app", ...own, tags: 2, bytes: 160 + image.size },
    { name: "team-b/app", ...own, tags: 1, bytes: 1160 + image.size },
  ]);
  expect((await listRepositories(database, (name) => name.startsWith("team-b/"))).map(({ name }) => name)).toEqual(["team-b/app"]);
  // Shared blobs are stored once, and a blob that no manifest names yet is nobody's.
  expect(await storageUsage(database)).toEqual({ stored: 1160, named: 1320, unreferenced: 1000, doomed: 0 });
});

test("activity: newest first, for 90 days", async () => {
  const { database } = registry;
  await appendActivity(database, { identity: "user:ci", action: "push", repository: "team-a/app", reference: "v1" });
  await appendActivity(database, { identity: "admin", action: "publish", detail: { revision: "abc" } });
  await appendActivity(database, { identity: "user:ci", action: "delete", repository: "team-b/app", reference: "copy" });
  expect(await listActivity(database)).toEqual([
    {
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      identity: "user:ci",
      action: "delete",
      repository: "team-b/app",
      reference: "copy",
    },
    { at: expect.any(String), identity: "admin", action: "publish", repository: null, reference: null, detail: { revision: "abc" } },
    { at: expect.any(String), identity: "user:ci", action: "push", repository: "team-a/app", reference: "v1" },
  ]);
  await registry.rows("UPDATE activity SET at = at - interval '91 days' WHERE action = 'push'");
  expect(await pruneActivity(database)).toBe(1);
  expect((await listActivity(database)).map(({ action }) => action)).toEqual(["delete", "publish"]);
});
