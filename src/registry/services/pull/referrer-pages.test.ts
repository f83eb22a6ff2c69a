import { afterAll, beforeAll, expect, test } from "vitest";

import {
  openOwnRegistry,
  pushBlob,
  pusher,
  pushImage,
  pushManifest,
  reader,
  imageOf,
  unprotected,
  type OwnRegistry,
} from "../../../../test/support/own-registry.ts";
import { digestOf, type Digest } from "../../../domain/digest.ts";
import type { Referrer } from "./pull-service.ts";

let registry: OwnRegistry;
beforeAll(async () => {
  registry = await openOwnRegistry();
});
afterAll(() => registry.close());

const mebibyte = 1024 * 1024;

/** Follows the pages to their end, as a client does. `between` runs after each page that has a next one. */
async function pages(
  repository: string,
  digest: Digest,
  options: { artifactType?: string; between?: () => Promise<void> } = {},
): Promise<(readonly Referrer[])[]> {
  const { artifactType, between } = options;
  const found: (readonly Referrer[])[] = [];
  for (let after: Digest | undefined; ;) {
    const page = await registry.pull.referrers(repository, digest, reader, { artifactType, after });
    found.push(page.referrers);
    if (!page.more) return found;
    after = page.referrers.at(-1)?.digest;
    await between?.();
  }
}

const digests = (found: readonly (readonly Referrer[])[]) => found.flat().map(({ digest }) => digest);
const bytesOf = (page: readonly Referrer[]) => Buffer.byteLength(JSON.stringify(page));

test("20,000 referrers: pages of at most 4 MiB that have each once, in order, also filtered", async () => {
  const subject = await pushImage(registry.push, "many/app");
  const stored = await registry.rows<{ digest: Digest; type: string }>(
    `INSERT INTO manifests (repository, digest, media_type, bytes, subject, artifact_type, annotations, keep_until)
     SELECT r.id, 'sha256:' || encode(sha256(n::text::bytea), 'hex'), 'application/vnd.oci.image.manifest.v1+json', '{}', $2,
       'application/' || (n % 3), json_build_object('n', repeat('x', 200)), now() + interval '1 hour'
     FROM generate_series(1, 20000) AS n, repositories r WHERE r.name = $1
     RETURNING digest, artifact_type AS type`,
    ["many/app", subject.digest],
  );
  const all = stored.map(({ digest }) => digest).toSorted();
  const found = await pages("many/app", subject.digest);
  expect(digests(found)).toEqual(all);
  expect(found.map(bytesOf).every((bytes) => bytes <= 4 * mebibyte)).toBe(true);
  expect(found.slice(0, -1).every((page) => bytesOf(page) > 3.9 * mebibyte)).toBe(true);
  expect(found.length).toBeGreaterThan(1);

  const artifactType = "application/1";
  const some = stored.filter(({ type }) => type === artifactType).map(({ digest }) => digest);
  expect(digests(await pages("many/app", subject.digest, { artifactType }))).toEqual(some.toSorted());
});

test("long annotations end a page early, and longer ones are left out of the list and stay in the manifest", async () => {
  const subject = await pushImage(registry.push, "long/app");
  const config = Buffer.from("{}");
  await pushBlob(registry.push, "long/app", config);
  const described = { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf(config), size: config.byteLength };
  const refer = async (annotations: Record<string, string>) => {
    const bytes = imageOf(described, [], { subject: { mediaType: subject.mediaType, digest: subject.digest, size: 1 }, annotations });
    return { bytes, ...(await pushManifest(registry.push, "long/app", bytes)) };
  };
  const few: Digest[] = [];
  for (let n = 0; n < 80; n++) few.push((await refer({ n: String(n), text: "é".repeat(30_000) })).digest);
  const exactly = await refer({ text: "x".repeat(65_536 - '{"text":""}'.length) });
  const larger = await refer({ text: "x".repeat(65_536 - '{"text":""}'.length + 1) });
  const largest = await refer({ text: "x".repeat(3 * mebibyte) });
  expect((await pages("long/app", subject.digest)).map((page) => page.length)).toEqual([expect.any(Number), expect.any(Number)]);

  const found = await pages("long/app", subject.digest);
  expect(digests(found)).toEqual([...few, exactly.digest, larger.digest, largest.digest].toSorted());
  expect(found.map(bytesOf).every((bytes) => bytes <= 4 * mebibyte)).toBe(true);
  const without = found.flat().filter(({ annotations }) => annotations === undefined);
  expect(without.map(({ digest }) => digest)).toEqual([larger.digest, largest.digest].toSorted());
  expect(without.find(({ digest }) => digest === largest.digest)).toEqual({
    mediaType: subject.mediaType,
    digest: largest.digest,
    size: largest.bytes.byteLength,
    artifactType: described.mediaType,
  });
  const kept = await registry.pull.manifest("long/app", { digest: largest.digest }, reader, { head: false });
  expect(largest.bytes.equals(kept.bytes)).toBe(true);

  // The next page begins behind a digest, whether that is still there or not.
  const gone = new Set<Digest>();
  const between = async () => {
    const [first, last] = [digests(found)[0]!, found[0]!.at(-1)!.digest];
    for (const digest of [first, last]) {
      gone.add(digest);
      await registry.push.deleteManifest("long/app", { digest }, pusher, unprotected);
    }
  };
  expect(digests(await pages("long/app", subject.digest, { between }))).toEqual(digests(found));
  expect(digests(await pages("long/app", subject.digest))).toEqual(digests(found).filter((digest) => !gone.has(digest)));
});
