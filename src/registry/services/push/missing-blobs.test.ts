// Sparse images: manifests whose layers are not here (setting `allowMissingBlobs`; storage.md, M1).

import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  describe as described,
  imageOf,
  noTimes,
  openOwnRegistry,
  pushBlob,
  pusher,
  pushManifest,
  readBlob,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { insertBlob, linkBlob } from "../../metadata/blobs.ts";
import { audit } from "../upkeep/audit.ts";
import { ensureOwnRepository } from "./own-repository.ts";
import { restore } from "../deletion/restore.ts";
import { storeManifest } from "./store-manifest.ts";

const mayMissBlobs = (name: string) => name.startsWith("sparse/");
let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry({ mayMissBlobs });
});
afterAll(() => registry.close());

let number = 0;
const newName = () => `sparse/app-${++number}`;
const configType = "application/vnd.oci.image.config.v1+json";
const layerType = "application/vnd.oci.image.layer.v1.tar";

/** An image of which nothing is here. */
function sparseImage() {
  const config = randomBytes(20);
  const layer = randomBytes(30);
  const bytes = imageOf(described(configType, config), [described(layerType, layer)]);
  return { config, layer, bytes, digest: digestOf(bytes) };
}

/** Which blobs the manifest holds. */
async function heldBy(manifest: Digest): Promise<Digest[]> {
  const rows = await registry.rows<{ held: Digest }>("SELECT held FROM manifest_blobs WHERE manifest = $1 AND held IS NOT NULL", [
    manifest,
  ]);
  return rows.map(({ held }) => held).sort();
}

async function findings(): Promise<readonly string[]> {
  const context = { database: registry.database, store: registry.store, signal: new AbortController().signal, mayMissBlobs };
  for await (const line of audit(context, { deep: true })) {
    if ("report" in line) return line.report.findings.map(({ message }) => message);
  }
  throw new Error("an audit ends with its report");
}

test("a manifest is taken without its blobs where the setting says so, and nowhere else", async () => {
  const { bytes, config, layer } = sparseImage();
  await expect(pushManifest(registry.push, "whole/app", bytes)).rejects.toMatchObject({
    code: "MANIFEST_BLOB_UNKNOWN",
    detail: { digests: expect.arrayContaining([digestOf(config), digestOf(layer)]) },
  });
  const repository = newName();
  const { digest } = await pushManifest(registry.push, repository, bytes, { tags: ["v1"] });
  expect(await heldBy(digest)).toEqual([]);
  expect(await findings()).toEqual([]);
});

test.each(["upload", "mount"] as const)("what arrives later by %s is held from then on: it outlives its lease", async (way) => {
  const repository = newName();
  const { bytes, config, layer, digest } = sparseImage();
  await pushManifest(registry.push, repository, bytes, { tags: ["v1"] });
  if (way === "upload") await pushBlob(registry.push, repository, layer);
  else {
    await pushBlob(registry.push, "whole/base", layer);
    await registry.push.mount(repository, pusher, { digest: digestOf(layer), readable: () => true });
  }
  expect(await heldBy(digest)).toEqual([digestOf(layer)]);
  await pushBlob(registry.push, repository, config);
  expect(await heldBy(digest)).toEqual([digestOf(config), digestOf(layer)].sort());

  await registry.rows("UPDATE repository_blobs SET keep_until = now() - interval '1 second'");
  await registry.rows("UPDATE gc_queue SET review_after = now()");
  await registry.collector(noTimes).runOnce();
  expect(await readBlob(registry.pull, repository, digestOf(layer))).toEqual(layer);
  expect(await findings()).toEqual([]);
});

describe("a manifest and the blob that it waits for, at the same moment", () => {
  const link = async (transaction: Queryable, repository: string, blob: Uint8Array) => {
    const { id } = await ensureOwnRepository(transaction, repository);
    const key = `key-${digestOf(blob)}`;
    await transaction.execute({ name: "", text: "INSERT INTO objects (key, state, ever_live) VALUES ($1, 'live', true)" }, [key]);
    await insertBlob(transaction, { digest: digestOf(blob), size: blob.byteLength, key, cached: false });
    await linkBlob(transaction, id, digestOf(blob));
  };
  const store = async (transaction: Queryable, repository: string, bytes: Uint8Array) => {
    const { id: repositoryId } = await ensureOwnRepository(transaction, repository);
    const manifest = { repositoryId, digest: digestOf(bytes), mediaType: undefined, bytes, tags: [], by: "user:ci" };
    await storeManifest(transaction, { ...manifest, held: true, mayMissBlobs: true });
  };

  test.each(["manifest", "blob"] as const)("the %s first: the blob is held in the end", async (first) => {
    const repository = newName();
    const { bytes, config, layer, digest } = sparseImage();
    await pushBlob(registry.push, repository, config);
    const steps = {
      manifest: (transaction: Queryable) => store(transaction, repository, bytes),
      blob: (transaction: Queryable) => link(transaction, repository, layer),
    };
    const second = first === "manifest" ? steps.blob : steps.manifest;
    let other: Promise<void> | undefined;
    await registry.database.transaction(async (transaction) => {
      await steps[first](transaction);
      other = registry.database.transaction(second);
      for (let waiting = 0; waiting === 0;) {
        [{ waiting }] = (await registry.rows(
          "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )) as [{ waiting: number }];
      }
    });
    await other;
    expect(await heldBy(digest)).toEqual([digestOf(config), digestOf(layer)].sort());
  });
});

test("a deleted sparse image can be restored as it was", async () => {
  const repository = newName();
  const { bytes, config, digest } = sparseImage();
  await pushBlob(registry.push, repository, config);
  await pushManifest(registry.push, repository, bytes, { tags: ["v1"] });
  await registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
  const restored = await restore(registry.database, { repository, tag: "v1" }, "admin", mayMissBlobs);
  expect(restored.gone).toEqual([]);
  expect(await heldBy(digest)).toEqual([digestOf(config)]);
});
