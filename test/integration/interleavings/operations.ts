// What is interleaved: each operation of storage.md's protocol on the world's content, the answers that it may give at all, what an answer
// promises and what it takes away.

import type { PublishRequest } from "../../../src/api/control/record.ts";
import { defaultSettings } from "../../../src/config/settings.ts";
import { digestOf, type Digest } from "../../../src/domain/digest.ts";
import { parseManifest } from "../../../src/domain/manifest.ts";
import { createLogger } from "../../../src/observability/logger.ts";
import { Database } from "../../../src/registry/metadata/database.ts";
import { abandonSilentObjects, expireUploads } from "../../../src/registry/metadata/gc-sweep.ts";
import { reviewQueue } from "../../../src/registry/metadata/gc-review.ts";
import { announceObject } from "../../../src/registry/metadata/objects.ts";
import { commitFill } from "../../../src/registry/metadata/proxy-blobs.ts";
import { finishEviction, prepareEviction } from "../../../src/registry/metadata/proxy-eviction.ts";
import { storeProxiedManifest } from "../../../src/registry/metadata/proxy-manifests.ts";
import { Collector } from "../../../src/registry/services/deletion/collect.ts";
import { deleteManifests } from "../../../src/registry/services/deletion/delete-manifests.ts";
import { OwnPull } from "../../../src/registry/services/pull/own-pull.ts";
import { Proposals } from "../../../src/registry/services/versions/proposals.ts";
import { PublishService } from "../../../src/registry/services/configuration/publish.ts";
import { CollectedPullStatistics } from "../../../src/registry/services/pull/pull-statistics.ts";
import { Push } from "../../../src/registry/services/push/push.ts";
import { restore } from "../../../src/registry/services/deletion/restore.ts";
import { StoredContent } from "../../../src/registry/services/pull/stored-content.ts";
import { View } from "../../../src/registry/services/pull/view.ts";
import { bodyOf, noTimes, pusher, pushManifest, reader, readBlob, unprotected } from "../../support/own-registry.ts";
import { configuration, proposalOf, secrets } from "../../support/proposals.ts";
import { app, halves, index, late, layer, manifests, origin, other, proxied, whole, type World } from "./world.ts";

const present = digestOf(manifests.present);

/** One registry process: nothing of its memory is shared. */
export interface Pod {
  readonly world: World;
  readonly database: Database;
  readonly push: Push;
  readonly pull: OwnPull;
  readonly collector: Collector;
  /** Pulls what may be deleted, so that this process has it in memory. */
  remember(): Promise<void>;
}

/** `collector`: of the pod before, which has nothing in memory but when it last forgot history. */
export function podOf(world: World, database: Database, collector = collectorOf(world, database, 3_600_000)): Pod {
  const { store } = world;
  const statistics = new CollectedPullStatistics({ database, onError: () => undefined });
  const content = new StoredContent({ database, view: new View({ database }) });
  const pull = new OwnPull({ database, store, content, statistics });
  return {
    world,
    database,
    push: new Push({ database, store, expireAfter: 3_600_000 }),
    pull,
    collector,
    remember: async () => {
      if (world.kind === "sessions") return;
      await pull.manifest(app, { tag: "v1" }, reader, { head: false });
      await pull.manifest(app, { digest: present }, reader, { head: false });
      await pull.blob(app, digestOf(layer), reader, { head: false });
    },
  };
}

const logger = createLogger({ level: "silent" });

export function collectorOf({ store }: World, database: Database, uploadAbandonedAfter: number): Collector {
  const { brake } = defaultSettings.gc;
  return new Collector({ database, store, times: { ...noTimes, uploadAbandonedAfter }, brake, logger, isProtected: () => false });
}

/** Something that a client can see. Two facts about one subject cannot both hold. */
export interface Fact {
  readonly subject: string;
  readonly says: string;
  /** Rejects when it does not hold. */
  readonly check: (pod: Pod) => Promise<unknown>;
}

const has = {
  blob: (repository: string, bytes: Buffer): Fact => ({
    subject: `${repository} blob ${digestOf(bytes)}`,
    says: "is there",
    check: async ({ pull }) => {
      if (!(await readBlob(pull, repository, digestOf(bytes))).equals(bytes)) throw new Error("other bytes");
    },
  }),
  manifest: (repository: string, bytes: Buffer): Fact => ({
    subject: `${repository} manifest ${digestOf(bytes)}`,
    says: "is there",
    check: ({ pull }) => pull.manifest(repository, { digest: digestOf(bytes) }, reader, { head: false }),
  }),
  tag: (repository: string, tag: string, bytes: Buffer): Fact => ({
    subject: `${repository} tag ${tag}`,
    says: digestOf(bytes),
    check: async ({ pull }) => {
      const { digest } = await pull.manifest(repository, { tag }, reader, { head: false });
      if (digest !== digestOf(bytes)) throw new Error(`it is ${digest}`);
    },
  }),
};
const hasNot = (fact: Fact): Fact => ({
  ...fact,
  says: "is gone",
  check: async (pod) => {
    const found = await fact.check(pod).then(
      () => true,
      () => false,
    );
    if (found) throw new Error("it is there");
  },
});

export interface Operation {
  readonly name: string;
  /** Operations of one area meet; the ten of testing.md meet all. */
  readonly area: "own" | "proxied" | "session" | "gc";
  readonly canonical: boolean;
  /** Answers that it may give, whatever happens beside it; the first one is success. */
  readonly answers: readonly string[];
  /** Rejects with a ServiceError for an answer other than success. */
  readonly run: (pod: Pod) => Promise<unknown>;
  /** What its success makes true. */
  readonly promises?: readonly Fact[];
  /** Beginnings of subjects that it may change beside what it promises. */
  readonly takes?: readonly string[];
}

const own = (operation: Omit<Operation, "area" | "canonical"> & { canonical?: boolean }): Operation => ({
  canonical: false,
  ...operation,
  area: "own",
});

const put =
  (bytes: Buffer, tags: readonly string[] = []) =>
  (pod: Pod) =>
    pushManifest(pod.push, app, bytes, { tags });

export const pushing: readonly Operation[] = [
  own({
    name: "U2",
    canonical: true,
    answers: ["201", "BLOB_UPLOAD_UNKNOWN"],
    run: ({ push }) => push.uploadWhole(app, pusher, { digest: digestOf(layer), length: layer.byteLength, body: bodyOf(layer) }),
    promises: [has.blob(app, layer)],
  }),
  own({
    name: "U3",
    canonical: true,
    answers: ["200", "BLOB_UNKNOWN"],
    run: ({ pull }) => pull.blob(app, digestOf(layer), pusher, { head: true }),
    promises: [has.blob(app, layer)],
  }),
  own({
    name: "U3 mount",
    answers: ["201", "202"],
    run: async ({ push }) => {
      if ((await push.mount(other, pusher, { digest: digestOf(layer), from: app, readable: () => true })) === undefined)
        throw answer("202");
    },
    promises: [has.blob(other, layer)],
  }),
  own({
    name: "M1",
    canonical: true,
    answers: ["201", "MANIFEST_BLOB_UNKNOWN"],
    run: put(manifests.next, ["v1"]),
    promises: [has.manifest(app, manifests.next), has.tag(app, "v1", manifests.next), has.blob(app, layer)],
  }),
  own({
    name: "M1 index",
    answers: ["201"],
    run: put(index, ["index"]),
    promises: [has.manifest(app, index), has.tag(app, "index", index)],
  }),
  own({ name: "M1 child", answers: ["201"], run: put(manifests.child), promises: [has.manifest(app, manifests.child)] }),
  own({
    name: "M1 referrer",
    answers: ["201"],
    run: put(manifests.referrer),
    promises: [has.manifest(app, manifests.referrer)],
  }),
  own({
    name: "M1 again",
    answers: ["201"],
    run: put(manifests.present, ["v1", "v2"]),
    promises: [has.manifest(app, manifests.present), has.tag(app, "v1", manifests.present), has.tag(app, "v2", manifests.present)],
  }),
];

export const deleting: readonly Operation[] = [
  own({
    name: "D1",
    canonical: true,
    answers: ["202", "MANIFEST_UNKNOWN", "UNSUPPORTED"],
    run: ({ push }) => push.deleteManifest(app, { digest: present }, pusher, unprotected),
    promises: [hasNot(has.manifest(app, manifests.present))],
    takes: [`${app} tag`, `${app} manifest ${digestOf(manifests.referrer)}`],
  }),
  own({
    name: "D1 tag",
    answers: ["202", "MANIFEST_UNKNOWN"],
    run: ({ push }) => push.deleteManifest(app, { tag: "v1" }, pusher, unprotected),
    promises: [hasNot(has.tag(app, "v1", manifests.present))],
  }),
  own({
    name: "D1 blob",
    answers: ["202", "BLOB_UNKNOWN", "UNSUPPORTED"],
    run: ({ push }) => push.deleteBlob(app, digestOf(layer), pusher),
    promises: [hasNot(has.blob(app, layer))],
  }),
  own({
    name: "restore",
    canonical: true,
    answers: ["200", "CONFLICT"],
    run: ({ database }) => restore(database, { repository: app, tag: "old" }, "admin"),
    promises: [has.manifest(app, manifests.trashed), has.tag(app, "old", manifests.trashed), has.blob(app, layer)],
  }),
];

const ledgerOf = (world: World) => {
  const { latest, waiting } = world.upstream;
  const evidence = {
    type: "SLSAProvenance" as const,
    attestation: waiting.document,
    predicateType: "https://slsa.dev/provenance/v1",
    platforms: [],
  };
  return {
    image: "cgr.dev/chainguard/nginx",
    builds: [{ version: "1.26.0-r0", digest: waiting.digest, sourceTag: "latest", seen: "2026-11-21T09:30:00Z", evidence }],
    // The second one is a person's word: its copy is not held until it was looked at.
    tags: { "1.26.0-r0": waiting.digest, "1.26.0": waiting.digest, "1.27": latest.digest },
    pinned: {},
    retired: {},
  };
};

export const versions: readonly Operation[] = [
  {
    name: "pin",
    area: "proxied",
    canonical: true,
    answers: ["201", "CONFLICT", "DENIED"],
    run: ({ database, world }) => new Proposals({ database, configuration, secrets }).propose(proposalOf(world.run, world.upstream.latest)),
  },
  {
    name: "publish",
    area: "proxied",
    canonical: true,
    answers: ["200", "CONFLICT"],
    run: async ({ database, world }) => {
      const [row] = await world.ask<{ document: { resources: PublishRequest["resources"] } }>("SELECT document FROM record");
      const request: PublishRequest = {
        revision: "f".repeat(40),
        base: world.revision,
        resources: row?.document.resources ?? [],
        ledgers: { [proxied.name]: ledgerOf(world) },
        settled: [{ id: world.proposal }],
      };
      await new PublishService({ database, configuration }).publish(request);
    },
  },
  {
    name: "fill",
    area: "proxied",
    canonical: false,
    answers: ["done", "given up"],
    run: async ({ database, world }) => {
      const bytes = world.upstream.layer;
      const writer = await world.store.create((key) => announceObject(database, key));
      await writer.write([Buffer.from(bytes)]);
      const key = await writer.commit(digestOf(bytes));
      await writer.close();
      const blob = { key, digest: digestOf(bytes), size: bytes.byteLength, origin, repositories: [proxied] };
      await commitFill(database, blob).catch((error: Error) => {
        throw error.message.includes("were collected while they arrived") ? answer("given up") : error;
      });
    },
  },
  {
    name: "M1 proxied",
    area: "proxied",
    canonical: false,
    answers: ["done"],
    run: ({ database, world }) => {
      const bytes = world.upstream.next;
      const fetched = { digest: digestOf(bytes), bytes, manifest: parseManifest(bytes, undefined) };
      return storeProxiedManifest(database, proxied, fetched, { tag: "latest", by: "test" });
    },
  },
  {
    name: "evict",
    area: "proxied",
    canonical: false,
    answers: ["done"],
    run: ({ database, world }) => {
      const { latest, waiting } = world.upstream;
      const digests: Digest[] = [latest.digest, latest.child, latest.evidence, waiting.digest, waiting.child, waiting.evidence];
      return database.transaction(async (transaction) => {
        const [repository] = await transaction.query<{ id: number }>({ name: "", text: "SELECT id FROM repositories WHERE name = $1" }, [
          proxied.name,
        ]);
        const repositoryId = repository!.id;
        const blobs = await prepareEviction(transaction, repositoryId, digests);
        await deleteManifests(transaction, { repositoryId, digests, by: "eviction", reason: "eviction", onHeld: "Keep", trash: false });
        await finishEviction(transaction, repositoryId, blobs);
      });
    },
  },
];

/** One whole round of a collector. */
export async function collect(collector: Collector): Promise<void> {
  const { failedSteps } = await collector.runOnce();
  if (failedSteps > 0) throw new Error(`${failedSteps} steps of collecting failed`);
}

export const collecting: readonly Operation[] = [
  {
    name: "G1",
    area: "gc",
    canonical: true,
    answers: ["done"],
    run: async ({ database }) => {
      for (; (await reviewQueue(database)).reviewed > 0;);
    },
  },
  { name: "G1, G2", area: "gc", canonical: true, answers: ["done"], run: ({ collector }) => collect(collector) },
  {
    name: "G3",
    area: "gc",
    canonical: true,
    answers: ["done"],
    run: async ({ database }) => {
      await expireUploads(database);
      await abandonSilentObjects(database, 0);
    },
  },
];

/** Two requests on one session. */
export const sessions: readonly Operation[] = [
  {
    name: "PATCH",
    area: "session",
    canonical: false,
    answers: ["202", "BLOB_UPLOAD_UNKNOWN", "RANGE_INVALID"],
    run: ({ push, world }) =>
      push.append(app, world.sessions.halves, pusher, {
        start: halves.first.byteLength,
        length: halves.second.byteLength,
        body: bodyOf(halves.second),
      }),
  },
  {
    name: "PUT",
    area: "session",
    canonical: false,
    answers: ["201", "BLOB_UPLOAD_UNKNOWN", "RANGE_INVALID"],
    run: ({ push, world }) =>
      push.complete(app, world.sessions.halves, pusher, {
        start: halves.first.byteLength,
        length: halves.second.byteLength,
        body: bodyOf(halves.second),
        digest: digestOf(whole),
      }),
    promises: [has.blob(app, whole)],
  },
  {
    name: "empty PUT",
    area: "session",
    canonical: false,
    answers: ["201", "BLOB_UPLOAD_UNKNOWN"],
    run: ({ push, world }) => push.complete(app, world.sessions.late, pusher, { digest: digestOf(late), body: bodyOf() }),
    promises: [has.blob(app, late)],
  },
  {
    name: "DELETE",
    area: "session",
    canonical: false,
    answers: ["204", "BLOB_UPLOAD_UNKNOWN"],
    run: async ({ push, world }) => {
      await push.cancel(app, world.sessions.halves, pusher);
    },
  },
];

class Answer extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

function answer(code: string): Answer {
  return new Answer(code);
}
