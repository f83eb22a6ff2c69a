// A deletion and a restore are in the history from the moment that they are there, and not without it.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import {
  deletionContext,
  longTimes,
  openOwnRegistry,
  pushImage,
  type OwnRegistry,
  type PushedImage,
} from "../../../test/support/own-registry.ts";
import type { DeleteRequest } from "../../api/control/deletion.ts";
import { observed } from "../../failpoints/armed.ts";
import type { Failpoint } from "../../failpoints/names.ts";
import { newestActivity } from "../metadata/activity.ts";
import { deleteImage } from "./deletion/delete-image.ts";
import { restore } from "./deletion/restore.ts";

let registry: OwnRegistry;
let image: PushedImage;
let repository = "";
let number = 0;
beforeAll(async () => {
  registry = await openOwnRegistry();
  await registry.setTimes(longTimes);
});
afterAll(() => registry.close());
beforeEach(async () => {
  repository = `team/app-${++number}`;
  image = await pushImage(registry.push, repository, ["v1"]);
});
afterEach(() => registry.rows("ALTER TABLE IF EXISTS elsewhere RENAME TO activity"));

const remove = (request: Omit<DeleteRequest, "repository">) => deleteImage(deletionContext(registry), { repository, ...request }, "admin");
const bring = () => restore(registry.database, { repository, digest: image.digest }, "admin");
const last = async () => (await newestActivity(registry.database, 1)).at(0);
const here = () =>
  registry.rows("SELECT m.digest FROM manifests m JOIN repositories r ON r.id = m.repository WHERE r.name = $1", [repository]);
const dies =
  (at: Failpoint) =>
  (name: Failpoint): void => {
    if (name === at) throw new Error("the process is gone");
  };

test("a process that dies before it answers leaves no change without its entry", async () => {
  const noted = { identity: "admin", repository, reference: image.digest };
  await remove({ digest: image.digest });
  expect(await last()).toMatchObject({ ...noted, action: "delete", detail: { deleted: [{ digest: image.digest, tags: ["v1"] }] } });
  await expect(observed(dies("restore.committed"), bring)).rejects.toThrow("the process is gone");
  expect(await last()).toMatchObject({ ...noted, action: "restore", detail: { restored: [{ digest: image.digest }], gone: [] } });
  await expect(observed(dies("G2.claimed"), () => remove({ digest: image.digest, purge: true }))).rejects.toThrow("the process is gone");
  expect(await last()).toMatchObject({
    ...noted,
    action: "purge",
    detail: { deleted: [{ digest: image.digest, tags: ["v1"] }], trash: [{ digest: image.digest }], kept: [] },
  });
  expect(await here()).toEqual([]);
});

test("what cannot be written into the history is not done", async () => {
  await registry.rows("ALTER TABLE activity RENAME TO elsewhere");
  await expect(remove({ digest: image.digest })).rejects.toThrow("activity");
  await expect(remove({ tag: "v1" })).rejects.toThrow("activity");
  await expect(remove({ tag: "v1", purge: true })).rejects.toThrow("activity");
  expect(await here()).toEqual([{ digest: image.digest }]);
  await registry.rows("ALTER TABLE elsewhere RENAME TO activity");
  await remove({ digest: image.digest });
  await registry.rows("ALTER TABLE activity RENAME TO elsewhere");
  await expect(bring()).rejects.toThrow("activity");
  expect(await here()).toEqual([]);
});
