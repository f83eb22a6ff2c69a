// The small registry that every interleaving begins with, made once by the services and put back by copying its rows and files.
//
//   team/app    v1 → m0 {config, extra}; in the trash `old` → r {config, layer}; `layer` is linked, named by nobody, its lease is over
//   sessions    one has all bytes of `late`, one the first half of `halves`
//   cgr/…/nginx latest → P (an index, with evidence), and Q, whose version a proposal waits to have published
//
// Everything that loses its last reference is due at once; what is trashed stays.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { Client } from "pg";

import { digestOf, type Digest } from "../../../src/domain/digest.ts";
import { parseManifest } from "../../../src/domain/manifest.ts";
import { mediaTypes } from "../../../src/domain/media-types.ts";
import type { BlobStore } from "../../../src/registry/blobs/blob-store.ts";
import { FolderBlobStore } from "../../../src/registry/blobs/folder-store.ts";
import { S3BlobStore } from "../../../src/registry/blobs/s3-store.ts";
import { Database } from "../../../src/registry/metadata/database.ts";
import { writeGcTimes } from "../../../src/registry/metadata/gc-settings.ts";
import { announceObject } from "../../../src/registry/metadata/objects.ts";
import { commitFill } from "../../../src/registry/metadata/proxy-blobs.ts";
import { storeProxiedManifest } from "../../../src/registry/metadata/proxy-manifests.ts";
import { Push } from "../../../src/registry/services/push/push.ts";
import { createMigratedDatabase } from "../../support/postgres.ts";
import { startS3Service } from "../../support/s3-service.ts";
import {
  bodyOf,
  describe,
  imageOf,
  indexOf,
  pushBlob,
  pusher,
  pushManifest,
  unprotected,
  type Described,
} from "../../support/own-registry.ts";
import {
  database as fixtureDatabase,
  pem,
  proposalOf,
  proposals,
  publish,
  runs,
  secrets,
  startFixture,
  stopFixture,
  databaseUrl,
} from "../../support/proposals.ts";
import type { CheckedStore } from "../../chaos/invariants.ts";

export const app = "team/app";
export const other = "team/other";
export const proxied = { name: "cgr/chainguard/nginx", upstream: "default/chainguard" };
export const origin = "default/chainguard https://cgr.dev";
const hour = 3_600_000;

const config = Buffer.from("config");
const layerType = "application/vnd.oci.image.layer.v1.tar";
const described = (bytes: Buffer, mediaType = layerType): Described => describe(mediaType, bytes);

export const layer = Buffer.from("the layer that is pushed, mounted, restored and collected");
export const extra = Buffer.from("a layer that stays");
export const late = Buffer.from("a layer whose upload only has to be completed");
export const halves = { first: Buffer.from("the first half, "), second: Buffer.from("the second half") };
export const whole = Buffer.concat([halves.first, halves.second]);

const image = (layers: readonly Buffer[], more: object = {}) =>
  imageOf(
    described(config, "application/vnd.oci.image.config.v1+json"),
    layers.map((bytes) => described(bytes)),
    more,
  );
export const manifests = {
  /** Here, tagged v1. */
  present: image([extra]),
  /** In the trash, as `old`. */
  trashed: image([layer]),
  /** To be pushed to v1. */
  next: image([layer, extra], { annotations: { is: "next" } }),
  child: image([extra], { annotations: { is: "child" } }),
  referrer: image([extra], {
    artifactType: "application/x",
    subject: { mediaType: mediaTypes.ociManifest, digest: digestOf(image([extra])), size: image([extra]).byteLength },
  }),
} as const;
export const index = indexOf([
  { ...described(manifests.present, mediaTypes.ociManifest) },
  { ...described(manifests.child, mediaTypes.ociManifest) },
]);

export interface ProxiedImage {
  readonly digest: Digest;
  readonly layer: Digest;
  readonly document: Digest;
  readonly evidence: Digest;
  readonly child: Digest;
}

export interface World {
  /** `sessions`: nothing but the two upload sessions. */
  readonly kind: "everything" | "sessions";
  readonly url: string;
  readonly store: BlobStore;
  readonly checked: CheckedStore;
  readonly sessions: { readonly late: string; readonly halves: string };
  /** The image that latest leads to, with the bytes of its layer; and the one whose version waits. */
  readonly upstream: { readonly latest: ProxiedImage; readonly layer: Buffer; readonly waiting: ProxiedImage; readonly next: Buffer };
  readonly run: string;
  readonly proposal: string;
  readonly revision: string;
  ask<Row>(sql: string): Promise<Row[]>;
  /** As it was. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function makeWorld(): Promise<World> {
  await startFixture();
  const database = fixtureDatabase;
  // Nothing is crashed here, so nothing has to be durable: memory where the system has it as a folder.
  const folder = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "wharfinger-interleavings-"));
  const store = await FolderBlobStore.open({ folder });
  await writeGcTimes(database, { lease: hour, trashFor: 0, doomDelay: 0 });
  const push = new Push({ database, store, expireAfter: hour });
  const { ask, end } = await connect(databaseUrl());
  for (const bytes of [config, layer, extra]) await pushBlob(push, app, bytes);
  await pushManifest(push, app, manifests.present, { tags: ["v1"] });
  await pushManifest(push, app, manifests.trashed, { tags: ["old"] });
  await push.deleteManifest(app, { digest: digestOf(manifests.trashed) }, pusher, unprotected);
  const sessions = await startSessions(push);

  secrets.set("default", "cosign-pub", { "cosign.pub": pem });
  const revision = await publish();
  const cached = proxiedContent(database, store);
  const waiting = await cached.image("waiting");
  const latest = await cached.image("latest");
  const { id: run } = await runs.start({ kind: "tag-sync", policy: "default/images", trigger: "manual" });
  const { id: proposal } = await proposals.propose(proposalOf(run, waiting, { version: "1.26.0-r0", tags: ["1.26.0-r0", "1.26.0"] }));

  // Leases are over, the layer's last reference is gone, an older object of it is doomed, and nothing of the trash is old.
  await ask(`UPDATE repository_blobs SET keep_until = now() - interval '1 hour';
    UPDATE gc_queue SET review_after = now() - interval '1 minute' WHERE digest = '${digestOf(layer)}';
    UPDATE trash SET deleted_at = now() + interval '1 day'`);
  const snapshot = await takeSnapshot(ask, folder);
  return {
    kind: "everything",
    url: databaseUrl(),
    store,
    checked: checkedStore(store),
    sessions,
    upstream: { latest, layer: cached.layerOf("latest"), waiting, next: cached.manifestOf(cached.layerOf("latest"), { is: "next" }) },
    run,
    proposal,
    revision,
    ask,
    reset: snapshot,
    close: async () => {
      await end();
      await store.close();
      await stopFixture();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The same with a bucket in the place of the folder, and nothing in it but the sessions, which every reset begins anew. */
export async function makeWorldOfSessions(): Promise<World> {
  const service = await startS3Service();
  const created = await createMigratedDatabase();
  const database = new Database({ url: created.url, connections: 2 });
  const store = await S3BlobStore.open(service.settings);
  await writeGcTimes(database, { lease: hour, trashFor: 0, doomDelay: 0 });
  const { ask, end } = await connect(created.url);
  const push = () => new Push({ database, store, expireAfter: hour });
  // So that the repository is there.
  await pushBlob(push(), app, config);
  await ask(
    "DELETE FROM repository_blobs; DELETE FROM blobs; UPDATE objects SET state = 'doomed', sweep_after = now(); DELETE FROM gc_queue",
  );
  const tables = await keepRows(ask);
  let sessions: World["sessions"] = { late: "", halves: "" };
  const none = (): never => {
    throw new Error("there is no upstream in this world");
  };
  return {
    kind: "sessions",
    url: created.url,
    store,
    checked: checkedStore(store),
    get sessions() {
      return sessions;
    },
    get upstream() {
      return none();
    },
    run: "",
    proposal: "",
    revision: "",
    ask,
    reset: async () => {
      await tables();
      sessions = await startSessions(push());
    },
    close: async () => {
      await end();
      await database.close();
      await store.close();
      await created.drop();
      await service.stop();
    },
  };
}

async function startSessions(push: Push): Promise<World["sessions"]> {
  const session = async (bytes: Buffer) => {
    const { id } = await push.startUpload(app, pusher, { algorithm: "sha256" });
    await push.append(app, id, pusher, { body: bodyOf(bytes) });
    return id;
  };
  return { late: await session(late), halves: await session(halves.first) };
}

async function connect(url: string): Promise<{ ask: World["ask"]; end: () => Promise<void> }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  // Named, so that what is asked a thousand times is planned once.
  const names = new Map<string, string>();
  const ask = async <Row>(sql: string): Promise<Row[]> => {
    if (!/^\s*SELECT/.test(sql)) return (await client.query(sql)).rows as Row[];
    const name = names.get(sql) ?? `asked ${names.size}`;
    names.set(sql, name);
    return (await client.query({ name, text: sql })).rows as Row[];
  };
  // Connections that are opened from now on find a deadlock soon.
  await ask("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''50ms''', current_database()); END $$");
  return { ask, end: () => client.end() };
}

function proxiedContent(database: Database, store: BlobStore) {
  const fill = async (bytes: Buffer) => {
    const writer = await store.create((key) => announceObject(database, key));
    await writer.write([bytes]);
    const key = await writer.commit(digestOf(bytes));
    await writer.close();
    await commitFill(database, { key, digest: digestOf(bytes), size: bytes.byteLength, origin, repositories: [proxied] });
  };
  const cache = async (bytes: Buffer, tag?: string) => {
    const digest = digestOf(bytes);
    await storeProxiedManifest(database, proxied, { digest, bytes, manifest: parseManifest(bytes, undefined) }, { tag, by: "test" });
    return digest;
  };
  const layerOf = (name: string) => Buffer.from(`layer of ${name}`);
  const manifestOf = (bytes: Buffer, annotations: Record<string, string> = {}, mediaType = layerType) =>
    imageOf(described(config, "application/vnd.oci.image.config.v1+json"), [described(bytes, mediaType)], { annotations });
  return {
    layerOf,
    manifestOf,
    image: async (tag: string): Promise<ProxiedImage> => {
      const child = manifestOf(layerOf(tag));
      const document = Buffer.from(`document of ${tag}`);
      for (const bytes of [config, layerOf(tag), document]) await fill(bytes);
      await cache(child);
      const digest = await cache(
        indexOf([{ ...described(child, mediaTypes.ociManifest), platform: { os: "linux", architecture: "amd64" } } as Described]),
        // It is what `latest` was once; what a proposal says it saw there.
        "latest",
      );
      const evidence = await cache(manifestOf(document, {}, mediaTypes.dsse), `${digest.replace(":", "-")}.att`);
      return { digest, layer: digestOf(layerOf(tag)), document: digestOf(document), evidence, child: digestOf(child) };
    },
  };
}

/** Keeps all rows. Resolves with what puts them back. */
async function keepRows(ask: World["ask"]): Promise<() => Promise<void>> {
  const tables = (await ask<{ name: string }>("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")).map(
    ({ name }) => name,
  );
  await ask(`CREATE SCHEMA world; ${tables.map((name) => `CREATE TABLE world."${name}" AS TABLE public."${name}"`).join(";")}`);
  // Without triggers and foreign keys: it is put back, not done again. A function keeps its plans.
  await ask(`CREATE FUNCTION world.reset() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$ BEGIN
    ${tables.map((name) => `DELETE FROM public."${name}"; INSERT INTO public."${name}" OVERRIDING SYSTEM VALUE TABLE world."${name}";`).join("\n")}
    END $$`);
  return async () => void (await ask("SELECT world.reset()"));
}

/** Keeps all rows and files. */
async function takeSnapshot(ask: World["ask"], folder: string): Promise<() => Promise<void>> {
  const rows = await keepRows(ask);
  const files = async () => (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const kept = new Map<string, Buffer>();
  for (const { parentPath, name } of await files()) {
    if (isObject(name)) kept.set(join(parentPath, name), await readFile(join(parentPath, name)));
  }
  return async () => {
    await rows();
    for (const { parentPath, name } of await files()) {
      if (isObject(name) && !kept.has(join(parentPath, name))) await rm(join(parentPath, name));
    }
    for (const [path, bytes] of kept) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes);
    }
  };
}

const isObject = (name: string) => /^[0-9a-f-]{36}$/.test(name);

function checkedStore(store: BlobStore): CheckedStore {
  return {
    list: () => store.list(),
    read: async (key) => {
      const reader = await store.open(key);
      try {
        const bytes = Buffer.alloc(reader.size);
        for (let position = 0; position < bytes.byteLength;) position += await reader.read(bytes.subarray(position), position);
        return bytes;
      } finally {
        await reader.close();
      }
    },
  };
}

/** What is in the database once times and numbers are left out: equal for two orders that came to the same. */
export const stateQuestion = `SELECT json_build_object(
  'tags', (SELECT json_agg(x ORDER BY x) FROM (SELECT r.name || ':' || t.name || ' ' || t.digest AS x FROM tags t JOIN repositories r ON r.id = t.repository) s),
  'manifests', (SELECT json_agg(x ORDER BY x) FROM (SELECT repository || ' ' || digest || ' ' || (untagged_since IS NOT NULL) AS x FROM manifests) s),
  'blobs named', (SELECT json_agg(x ORDER BY x) FROM (SELECT repository || ' ' || manifest || ' ' || digest || ' ' || (held IS NOT NULL) AS x FROM manifest_blobs) s),
  'children', (SELECT json_agg(x ORDER BY x) FROM (SELECT repository || ' ' || manifest || ' ' || child || ' ' || (held IS NOT NULL) AS x FROM manifest_children) s),
  'links', (SELECT json_agg(x ORDER BY x) FROM (SELECT r.name || ' ' || digest AS x FROM repository_blobs l JOIN repositories r ON r.id = l.repository) s),
  'blobs', (SELECT json_agg(x ORDER BY x) FROM (SELECT digest || ' ' || cached AS x FROM blobs) s),
  'trash', (SELECT json_agg(x ORDER BY x) FROM (SELECT repository || ' ' || digest || ' ' || tags::text AS x FROM trash) s),
  'versions', (SELECT json_agg(x ORDER BY x) FROM (SELECT tag || ' ' || digest || ' ' || (held IS NOT NULL) AS x FROM ledger) s),
  'evidence', (SELECT json_agg(x ORDER BY x) FROM (SELECT tag || ' ' || held AS x FROM ledger_evidence) s),
  'proposals', (SELECT json_agg(x ORDER BY x) FROM (SELECT state || ' ' || (body->'tags')::text || ' ' ||
     ARRAY(SELECT held FROM proposal_pins n WHERE n.proposal = p.id ORDER BY held)::text AS x FROM proposals p) s),
  'uploads', (SELECT json_agg(x ORDER BY x) FROM (SELECT "offset" AS x FROM uploads) s),
  'record', (SELECT revision FROM record)
)::text AS state`;
