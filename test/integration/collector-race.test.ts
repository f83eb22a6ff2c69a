// Pushers that race the collector: the test that every other registry's garbage collector failed at some time (storage.md, invariants 1-4).
// Nothing waits before it is collected (trash and doom delay 0), leases are short, layers are few, so that the same ones die and return all the time.

import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { ServiceError } from "../../src/registry/services/errors.ts";
import {
  bodyOf,
  describe as described,
  imageOf,
  noTimes,
  openOwnRegistry,
  pusher,
  pushManifest,
  readBlob,
  reader,
  unprotected,
  type OwnRegistry,
} from "../support/own-registry.ts";

const seconds = 15;
const pushers = 16;
const lease = 3_000;
const leastCollected = 100;
const leastAcknowledged = 100;
/** A machine that got less done in its time goes on. */
const longest = 180;
const repositories = ["race/a", "race/b", "race/c"];
const layers = Array.from({ length: 150 }, (_, index) => Buffer.alloc(2_000, `layer ${index} `));

interface Acknowledged {
  readonly repository: string;
  readonly digest: Digest;
  readonly blobs: readonly Digest[];
}

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry({ connections: 24 });
  await registry.setTimes({ ...noTimes, lease });
});
afterAll(() => registry.close());

const any = <T>(values: readonly T[]): T => values[randomInt(values.length)]!;
const codeOf = (error: unknown) => (error instanceof ServiceError ? error.code : undefined);

test(
  "pushers against 3 collectors: no acknowledged manifest breaks, no blob is unknown inside its lease",
  { timeout: 400_000 },
  async () => {
    const began = performance.now();
    const alive = new Map<Digest, Acknowledged>();
    const violations: string[] = [];
    const counted = { acknowledged: 0, refusedAfterLease: 0, deleted: 0, mounted: 0, existed: 0, sent: 0, collected: 0, verified: 0 };

    const goesOn = () => {
      const elapsed = (performance.now() - began) / 1_000;
      const enough = counted.collected >= leastCollected && counted.acknowledged > leastAcknowledged;
      return elapsed < seconds || (!enough && elapsed < longest);
    };

    /** Makes a blob available, each way as often; resolves with the moment until which it must stay. */
    async function provide(repository: string, bytes: Buffer): Promise<number> {
      const digest = digestOf(bytes);
      const asked = performance.now();
      const way = randomInt(3);
      if (way === 0) {
        const there = await registry.pull.blob(repository, digest, pusher, { head: true }).catch((error: unknown) => error);
        if (!(there instanceof Error)) {
          counted.existed++;
          // U3 leaves a lease alone while at least half of it is left.
          return asked + lease / 2;
        }
      } else if (way === 1 && (await registry.push.mount(repository, pusher, { digest, readable: () => true })) !== undefined) {
        counted.mounted++;
        return asked + lease / 2;
      }
      const sent = performance.now();
      if (randomInt(2) === 0) {
        await registry.push.uploadWhole(repository, pusher, { digest, body: bodyOf(bytes) });
      } else {
        const { id } = await registry.push.startUpload(repository, pusher, { algorithm: "sha256" });
        await registry.push.append(repository, id, pusher, { body: bodyOf(bytes) });
        await registry.push.complete(repository, id, pusher, { digest, body: bodyOf() });
      }
      counted.sent++;
      return sent + lease;
    }

    async function push(name: string): Promise<void> {
      for (let round = 0; goesOn(); round++) {
        const repository = any(repositories);
        const chosen = [any(layers), any(layers), any(layers)];
        const until = Math.min(...(await Promise.all(chosen.map((bytes) => provide(repository, bytes)))));
        // Most stay inside the lease, some go far beyond it.
        await sleep(randomInt(any([100, 1_400, 1_400, 6_000])));
        const [config, ...rest] = chosen.map((bytes) => described("application/octet-stream", bytes));
        const manifest = imageOf(config!, rest, { annotations: { name, round: String(round) } });
        const digest = digestOf(manifest);
        try {
          await pushManifest(registry.push, repository, manifest, { tags: [name, `round-${round % 5}`] });
          alive.set(digest, { repository, digest, blobs: chosen.map((bytes) => digestOf(bytes)) });
          counted.acknowledged++;
        } catch (error) {
          if (codeOf(error) !== "MANIFEST_BLOB_UNKNOWN") throw error;
          if (performance.now() < until) violations.push(`${digest} was refused inside the lease`);
          else counted.refusedAfterLease++;
        }
        await removeSome();
      }
    }

    /** Deletes all but the youngest manifests, so that layers lose their last reference all the time. */
    async function removeSome(): Promise<void> {
      const old = [...alive.values()].slice(0, -6);
      for (const { repository, digest } of old) {
        if (!alive.delete(digest)) continue;
        await registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
        counted.deleted++;
      }
    }

    async function collect(): Promise<void> {
      const collector = registry.collector({ ...noTimes, lease });
      while (goesOn()) {
        const { blobs } = await collector.runOnce();
        counted.collected += blobs;
        await sleep(5);
      }
    }

    async function verify(one: Acknowledged): Promise<void> {
      try {
        await registry.pull.manifest(one.repository, { digest: one.digest }, reader, { head: false });
        for (const digest of one.blobs) {
          if (digestOf(await readBlob(registry.pull, one.repository, digest)) !== digest) throw new Error(`${digest} has other bytes`);
        }
        counted.verified++;
      } catch (error) {
        // Deleted while it was read: no promise is broken.
        if (alive.has(one.digest)) violations.push(`${one.repository}@${one.digest} broke: ${String(error)}`);
      }
    }

    async function read(): Promise<void> {
      for (; goesOn(); await sleep(10)) for (const one of alive.values()) await verify(one);
    }

    await Promise.all([...Array.from({ length: pushers }, (_, index) => push(`pusher-${index}`)), collect(), collect(), collect(), read()]);
    for (const one of alive.values()) await verify(one);
    expect(violations).toEqual([]);
    expect(counted).toMatchObject({
      acknowledged: expect.toSatisfy((count: number) => count > leastAcknowledged),
      collected: expect.toSatisfy((count: number) => count >= leastCollected),
      existed: expect.toSatisfy((count: number) => count > 0),
      mounted: expect.toSatisfy((count: number) => count > 0),
    });

    for (const { repository, digest } of alive.values()) await registry.push.deleteManifest(repository, { digest }, pusher, unprotected);
    await drain();
    const left = await registry.rows(
      "SELECT (SELECT count(*) FROM objects WHERE ever_live) AS objects, (SELECT count(*) FROM blobs) AS blobs, (SELECT count(*) FROM repository_blobs) AS links, (SELECT count(*) FROM gc_queue) AS queue",
    );
    expect(left).toEqual([{ objects: 0, blobs: 0, links: 0, queue: 0 }]);
    for await (const { key } of registry.store.list()) violations.push(`${key} is left in the store`);
    expect(violations).toEqual([]);
  },
);

/** Lets every lease and every postponed review come due, and collects until nothing is left to look at. */
async function drain(): Promise<void> {
  const collector = registry.collector({ ...noTimes, lease });
  for (let round = 0; round < 5; round++) {
    await registry.rows("UPDATE repository_blobs SET keep_until = now() - interval '1 hour'");
    await registry.rows("UPDATE gc_queue SET review_after = now() - interval '1 hour'");
    await registry.rows("UPDATE objects SET sweep_after = now() WHERE sweep_after > now()");
    await collector.runOnce();
  }
}
