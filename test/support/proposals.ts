// Proposals on a real PostgreSQL: a published policy, images that were pulled through the registry, and proposals of their versions.

import { generateKeyPairSync } from "node:crypto";

import { pino } from "pino";

import type { MintProposal } from "../../src/api/control/proposals.ts";
import type { RecordedResource } from "../../src/api/control/record.ts";
import type { TagPolicySpec } from "../../src/api/kinds.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import type { Build } from "../../src/domain/ledger.ts";
import { parseManifest } from "../../src/domain/manifest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { readPublicKey } from "../../src/domain/public-key.ts";
import { Database, statement } from "../../src/registry/metadata/database.ts";
import { storeProxiedManifest } from "../../src/registry/metadata/proxy-manifests.ts";
import { ConfigurationStore } from "../../src/registry/services/configuration/configuration-store.ts";
import { Proposals } from "../../src/registry/services/versions/proposals.ts";
import { PublishService } from "../../src/registry/services/configuration/publish.ts";
import { Runs } from "../../src/registry/services/runs/runs.ts";
import { createMigratedDatabase, type TestDatabase } from "./postgres.ts";
import { upstreamSpec } from "./proxy.ts";
import { TestSecrets } from "./registry.ts";

const repository = { name: "cgr/chainguard/nginx", upstream: "default/chainguard" };
export const pem = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "pem" }).toString();
const key = readPublicKey("cosign-pub/cosign.pub", pem);
if ("problem" in key) throw new Error(key.problem);
export const fingerprint = key.fingerprint;

let fresh: TestDatabase;
export let database: Database;
export let configuration: ConfigurationStore;
export let secrets: TestSecrets;
export let runs: Runs;
export let proposals: Proposals;
let publisher: PublishService;
let revision: string | null = null;
let count = 0;

export async function startFixture(): Promise<void> {
  // Files of one worker share this module.
  revision = null;
  fresh = await createMigratedDatabase();
  database = new Database({ url: fresh.url, connections: 6 });
  secrets = new TestSecrets();
  configuration = new ConfigurationStore({ database, pod: "test", logger: pino({ level: "silent" }) });
  await configuration.start();
  runs = new Runs({ database, configuration, secrets });
  proposals = new Proposals({ database, configuration, secrets });
  publisher = new PublishService({ database, configuration });
}

/** Of the fixture's own database. */
export const databaseUrl = (): string => fresh.url;

export async function stopFixture(): Promise<void> {
  proposals.close();
  await configuration.stop();
  await database.close();
  await fresh.drop();
}

const policySpec: TagPolicySpec = {
  upstreamRef: { name: "chainguard" },
  images: [{ repository: "chainguard/nginx" }, { repository: "secret/nginx" }],
  sourceTags: [
    { name: "latest", suffix: "" },
    { name: "latest-dev", suffix: "-dev" },
  ],
  schedule: "*/30 * * * *",
  timeZone: "Etc/UTC",
  evidence: [{ type: "SLSAProvenance" }],
  verify: { mode: "Verified", keys: [{ secretRef: { name: "cosign-pub" } }] },
  versions: { semver: ">=1 <2" },
  tags: ["{fullVersion}", "{version}"],
  onRebuild: "Newest",
  platforms: [],
  copy: "Image",
};

interface Recorded {
  policy?: Partial<TagPolicySpec>;
  suspend?: boolean;
  second?: Partial<TagPolicySpec>;
  generation?: number;
}

export async function publish(
  { policy = {}, suspend = false, second, generation = 1 }: Recorded = {},
  rest: Partial<Parameters<PublishService["publish"]>[0]> = {},
) {
  const common = { namespace: "default", revision: "0".repeat(40) };
  const resources: RecordedResource[] = [
    {
      ...common,
      kind: "Upstream",
      name: "chainguard",
      generation: 1,
      spec: upstreamSpec("https://cgr.dev", "cgr", { repositories: { exclude: ["secret/**"] } }),
      suspend: false,
    },
    { ...common, kind: "TagPolicy", name: "images", generation, spec: { ...policySpec, ...policy }, suspend },
    ...(second === undefined
      ? []
      : [{ ...common, kind: "TagPolicy" as const, name: "later", generation: 1, spec: { ...policySpec, ...second }, suspend: false }]),
  ];
  const next = (++count).toString(16).padStart(40, "0");
  await publisher.publish({ revision: next, base: revision, resources, ledgers: {}, settled: [], ...rest });
  revision = next;
  return next;
}

const manifestOf = (layers: readonly Digest[], mediaType = "application/vnd.oci.image.layer.v1.tar+gzip", subject?: Digest) => {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", size: 2, digest: digestOf("{}") };
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: layers.map((digest) => ({ mediaType, size: 1, digest })),
      ...(subject === undefined ? {} : { subject: { mediaType: mediaTypes.ociManifest, size: 1, digest: subject } }),
    }),
  );
};
const indexOf = (children: readonly Digest[]) =>
  Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: children.map((digest, at) => ({
        mediaType: mediaTypes.ociManifest,
        size: 1,
        digest,
        platform: { os: "linux", architecture: at === 0 ? "amd64" : "arm64" },
      })),
    }),
  );

async function cache(bytes: Buffer, tag?: string): Promise<Digest> {
  const digest = digestOf(bytes);
  const manifest = parseManifest(bytes, undefined);
  await storeProxiedManifest(database, repository, { digest, bytes, manifest }, { by: "test", ...(tag === undefined ? {} : { tag }) });
  return digest;
}

const blob = statement(
  "test-blob",
  `WITH o AS (INSERT INTO objects (key, size, state, ever_live) VALUES ('key-' || $2, 1, 'live', true) ON CONFLICT DO NOTHING),
        b AS (INSERT INTO blobs (digest, size, object_key) VALUES ($2, 1, 'key-' || $2) ON CONFLICT DO NOTHING)
   INSERT INTO repository_blobs (repository, digest, keep_until) SELECT id, $2, now() FROM repositories WHERE name = $1 ON CONFLICT DO NOTHING`,
);
const cacheBlobs = async (...digests: Digest[]) => {
  for (const digest of digests) await database.execute(blob, [repository.name, digest]);
};

let made = 0;
/** An image that was pulled whole through this registry, with its evidence. */
export async function pulled(options: { tag?: string; missing?: "layer" | "child" | "document"; layerType?: string } = {}) {
  const name = `image ${++made}`;
  const layer = digestOf(`${name} layer`);
  const document = digestOf(`${name} document`);
  const child = manifestOf([layer], options.layerType);
  if (options.missing !== "child") await cache(child);
  const digest = await cache(indexOf([digestOf(child), digestOf(manifestOf([digestOf("shared")]))]), options.tag ?? "latest");
  await cache(manifestOf([digestOf("shared")]));
  const evidence = await cache(manifestOf([document], mediaTypes.dsse), `${digest.replace(":", "-")}.att`);
  await cacheBlobs(digestOf("{}"), digestOf("shared"));
  if (options.missing !== "layer") await cacheBlobs(layer);
  if (options.missing !== "document") await cacheBlobs(document);
  return { digest, layer, document, evidence, child: digestOf(child) };
}

/** A manifest that names the document and says that it is about `subject`: a bundle among its referrers. */
export const referringTo = (subject: Digest, document: Digest) => cache(manifestOf([document], mediaTypes.sigstoreBundle, subject));

export function proposalOf(
  run: string,
  image: Awaited<ReturnType<typeof pulled>>,
  part: {
    version?: string;
    tags?: string[];
    build?: Partial<MintProposal["build"]>;
    evidence?: Partial<Build["evidence"]>;
  } & Omit<Partial<MintProposal>, "build"> = {},
): MintProposal {
  const { version = "1.27.3-r2", tags = ["1.27.3-r2", "1.27.3"], build, evidence, ...rest } = part;
  return {
    kind: "mint",
    run,
    repository: "chainguard/nginx",
    build: {
      version,
      digest: image.digest,
      sourceTag: "latest",
      seen: "1999-01-01T00:00:00Z",
      evidence: {
        type: "SLSAProvenance",
        attestation: image.document,
        predicateType: "https://slsa.dev/provenance/v1",
        key: { fingerprint, name: "cosign-pub/cosign.pub" },
        platforms: ["linux/amd64"],
        ...(evidence as Partial<MintProposal["build"]["evidence"]>),
      },
      ...build,
    },
    tags,
    onRebuild: "Newest",
    evidenceManifests: [image.evidence],
    ...rest,
  };
}
