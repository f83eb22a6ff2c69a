// Tags of an Upstream over time: trusted for a while, asked once, served as they were when upstream fails.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { digestOf, hexOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { dropVersions, storeVersions } from "../../src/registry/metadata/versions.ts";
import { forgetConfirmations } from "../../src/registry/metadata/proxy-repositories.ts";
import { pullBlob, someone, startProxy, startUpstream, upstreamSpec, type ProxiedUpstream, type TestProxy } from "../support/proxy.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

const now = { ...someone, identity: "admin", revalidate: true };
const job = { ...someone, identity: "run:1" };
const warning = '110 wharfinger "Response is Stale"';

let proxy: TestProxy;
let upstream: ScriptedUpstream;
let prefix: string;
let configure: ProxiedUpstream["configure"];

beforeAll(async () => {
  proxy = await startProxy();
});
afterAll(() => proxy.stop());
beforeEach(async () => {
  ({ upstream, prefix, configure } = await startUpstream(proxy));
});
afterEach(() => upstream.stop());

const pull = (tag: string, caller = someone) => proxy.pull.manifest(`${prefix}/team/app`, { tag }, caller);
const manifestRequests = () => upstream.asked("/manifests/").map(({ method, path }) => `${method} ${path.split("/").at(-1) ?? ""}`);

/** Time passes: every confirmation is so much older. */
async function age(interval: string): Promise<void> {
  await proxy.rows("UPDATE tags SET checked_at = checked_at - $1::interval", [interval]);
}

function image(tag: string | undefined, content: string): Digest {
  return upstream.addImage("team/app", tag, Buffer.from(content)).manifest;
}

test("a tag is trusted for tagTTL, then costs one HEAD; what moved is fetched by digest and written down", async () => {
  const first = image("latest", "one");
  expect((await pull("latest")).digest).toBe(first);
  expect((await pull("latest")).digest).toBe(first);
  expect(manifestRequests()).toEqual(["GET latest"]);

  await age("6 minutes");
  expect((await pull("latest")).digest).toBe(first);
  expect((await pull("latest")).digest).toBe(first);
  expect(manifestRequests()).toEqual(["GET latest", "HEAD latest"]);

  await age("6 minutes");
  const second = image("latest", "two");
  const answer = await pull("latest");
  expect(answer).toMatchObject({ digest: second, mediaType: mediaTypes.ociManifest });
  expect(answer.warning).toBeUndefined();
  expect(digestOf(answer.bytes)).toBe(second);
  expect(manifestRequests().slice(2)).toEqual(["HEAD latest", `GET ${second}`]);

  // And back: what is here already is not fetched again.
  await age("6 minutes");
  upstream.moveTag("team/app", "latest", first);
  expect((await pull("latest")).digest).toBe(first);
  expect(manifestRequests().slice(4)).toEqual(["HEAD latest"]);

  const events = await proxy.rows(
    `SELECT e.digest, e.previous, e.by FROM tag_events e JOIN repositories r ON r.id = e.repository WHERE r.name = $1 ORDER BY e.id`,
    [`${prefix}/team/app`],
  );
  expect(events).toEqual([
    { digest: first, previous: null, by: "upstream" },
    { digest: second, previous: first, by: "upstream" },
    { digest: first, previous: second, by: "upstream" },
  ]);
});

test("one question for all who wait", async () => {
  image("latest", "one");
  upstream.script("/manifests/", { kind: "delay", milliseconds: 100 });
  await Promise.all(Array.from({ length: 30 }, () => pull("latest")));
  expect(manifestRequests()).toEqual(["GET latest"]);
  await age("6 minutes");
  await Promise.all(Array.from({ length: 30 }, () => pull("latest")));
  expect(manifestRequests()).toEqual(["GET latest", "HEAD latest"]);
});

test.each([
  ["429", { kind: "status", status: 429, headers: { "retry-after": "1" } }],
  ["500", { kind: "status", status: 500 }],
  ["503", { kind: "status", status: 503 }],
  ["silence", { kind: "silent" }],
  ["reset connections", { kind: "reset" }],
  ["HTML", { kind: "status", status: 418 }],
] as const)("a cached tag is served with a warning through %s, and is right again afterwards", async (_, fault) => {
  const first = image("latest", "one");
  await pull("latest");
  await age("6 minutes");
  const second = image("latest", "two");
  upstream.script("/manifests/", fault);
  for (let pulls = 0; pulls < 3; pulls++) expect(await pull("latest")).toMatchObject({ digest: first, warning });
  upstream.behave();
  await expect.poll(async () => (await pull("latest")).digest, { interval: 100 }).toBe(second);
  expect((await pull("latest")).warning).toBeUndefined();
});

test("nobody there: the cached tag, also for digests and layers", async () => {
  const { manifest, layer } = upstream.addImage("team/app", "latest", Buffer.from("kept"));
  await pull("latest");
  await pullBlob(proxy.pull, `${prefix}/team/app`, layer);
  await age("6 minutes");
  await upstream.stop();
  expect(await pull("latest")).toMatchObject({ digest: manifest, warning });
  expect((await proxy.pull.manifest(`${prefix}/team/app`, { digest: manifest }, someone)).digest).toBe(manifest);
  expect((await pullBlob(proxy.pull, `${prefix}/team/app`, layer)).toString()).toBe("kept");
});

test("the first pull waits a second for a silent upstream, those after it not at all, and none of them holds the answer back", async () => {
  const first = image("latest", "one");
  await pull("latest");
  await age("6 minutes");
  // Longer than this test may take: an answer that waits for upstream fails it.
  configure({ timeouts: { connect: "5s", firstByte: "10m", idle: "10m" } });
  upstream.script("/manifests/", { kind: "silent" });
  for (let pulls = 0; pulls < 3; pulls++) expect(await pull("latest")).toMatchObject({ digest: first, warning });
  expect(manifestRequests()).toEqual(["GET latest", "HEAD latest"]);
});

test("older than staleIfError is not served", async () => {
  image("latest", "one");
  await pull("latest");
  configure({ cache: { staleIfError: "1h" } });
  await age("2 hours");
  upstream.script("/manifests/", { kind: "status", status: 500 });
  await expect(pull("latest")).rejects.toMatchObject({ code: "UPSTREAM_FAILED", message: expect.stringMatching(/answers 500$/) as string });
});

test("403 is upstream's word, not a failure: nothing older is served", async () => {
  image("latest", "one");
  await pull("latest");
  await age("6 minutes");
  upstream.script("/manifests/", { kind: "status", status: 403 });
  await expect(pull("latest")).rejects.toMatchObject({ code: "DENIED" });
});

test("only upstream's own 404 takes a tag away, and it is believed for some seconds", async () => {
  const first = image("latest", "one");
  await pull("latest");
  await age("6 minutes");
  upstream.removeTag("team/app", "latest");
  await expect(pull("latest")).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  const asked = upstream.seen.length;
  await expect(pull("latest")).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  expect(upstream.seen.length).toBe(asked);
  // By digest it stays, and history knows.
  expect((await proxy.pull.manifest(`${prefix}/team/app`, { digest: first }, someone)).digest).toBe(first);
  const events = await proxy.rows(
    `SELECT digest, previous FROM tag_events e JOIN repositories r ON r.id = e.repository WHERE r.name = $1 ORDER BY e.id`,
    [`${prefix}/team/app`],
  );
  expect(events).toEqual([
    { digest: first, previous: null },
    { digest: null, previous: first },
  ]);
  // Who asks for upstream's answer of now gets it.
  upstream.moveTag("team/app", "latest", first);
  expect((await pull("latest", now)).digest).toBe(first);
});

test("revalidation asks at once, and a failure is a failure", async () => {
  image("latest", "one");
  await pull("latest");
  const second = image("latest", "two");
  expect((await pull("latest", now)).digest).toBe(second);
  upstream.script("/manifests/", { kind: "status", status: 500 });
  await expect(pull("latest", now)).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  expect((await pull("latest")).digest).toBe(second);
});

test("an upstream that names no digest on HEAD, or has no HEAD", async () => {
  const first = image("latest", "one");
  await pull("latest");
  for (const fault of [
    { kind: "headers", headers: { "docker-content-digest": "" } },
    { kind: "status", status: 405 },
  ] as const) {
    await age("6 minutes");
    upstream.script({ method: "HEAD", path: /manifests/ }, fault, 1);
    expect((await pull("latest")).digest).toBe(first);
  }
  expect(manifestRequests()).toEqual(["GET latest", "HEAD latest", "GET latest", "HEAD latest", "GET latest"]);
});

test("a tag that moves between HEAD and GET", async () => {
  image("latest", "one");
  await pull("latest");
  await age("6 minutes");
  const gone = image("latest", "two");
  upstream.script({ method: "GET", path: new RegExp(`manifests/${gone}`) }, { kind: "status", status: 404 });
  const third = upstream.addImage("team/app", undefined, Buffer.from("three")).manifest;
  upstream.script({ method: "HEAD", path: /manifests\/latest/ }, { kind: "headers", headers: { "docker-content-digest": gone } }, 1);
  upstream.moveTag("team/app", "latest", third);
  expect((await pull("latest")).digest).toBe(third);
});

test("a version tag of the ledger wins over upstream's tag of the same name, and outlives it", async () => {
  const minted = image("latest", "one");
  await pull("latest");
  image("1.0.0", "upstream's own idea of 1.0.0");
  await proxy.rows(
    `INSERT INTO ledger (repository, tag, digest, version) SELECT id, '1.0.0', $2, '1.0.0-r0' FROM repositories WHERE name = $1`,
    [`${prefix}/team/app`, minted],
  );
  expect((await pull("1.0.0")).digest).toBe(minted);
  image("latest", "two");
  upstream.script("/v2/", { kind: "status", status: 404 });
  expect((await pull("1.0.0")).digest).toBe(minted);
  await upstream.stop();
  expect((await pull("1.0.0")).digest).toBe(minted);
  expect((await pull("1.0.0", now)).digest).toBe(minted);
});

test("evidence answers from the copy when upstream says 404", async () => {
  const subject = image("latest", "one");
  const name = `sha256-${hexOf(subject)}.att`;
  const evidence = image(name, "attestation");
  expect((await pull(name)).digest).toBe(evidence);
  await age("6 minutes");
  upstream.removeTag("team/app", name);
  expect((await pull(name)).digest).toBe(evidence);
  expect((await pull(name, now)).digest).toBe(evidence);
});

test("another address makes cached tags stale at once", async () => {
  image("latest", "one");
  await pull("latest");
  const other = await ScriptedUpstream.start();
  const moved = other.addImage("team/app", "latest", Buffer.from("elsewhere")).manifest;
  proxy.configuration.publish({ [prefix]: upstreamSpec(other.url, prefix) });
  await expect
    .poll(() =>
      proxy.rows("SELECT 1 FROM tags t JOIN repositories r ON r.id = t.repository WHERE r.name = $1 AND checked_at IS NOT NULL", [
        `${prefix}/team/app`,
      ]),
    )
    .toEqual([]);
  expect((await pull("latest")).digest).toBe(moved);
  await other.stop();
});

test("offline serves what is cached and asks nothing", async () => {
  const { manifest, layer } = upstream.addImage("team/app", "latest", Buffer.from("kept"));
  await pull("latest");
  await pullBlob(proxy.pull, `${prefix}/team/app`, layer);
  configure({ offline: true });
  await age("2 days");
  const asked = upstream.seen.length;
  expect((await pull("latest")).digest).toBe(manifest);
  expect((await pullBlob(proxy.pull, `${prefix}/team/app`, layer)).toString()).toBe("kept");
  await expect(pull("other")).rejects.toMatchObject({
    code: "MANIFEST_UNKNOWN",
    message: expect.stringMatching(/configured offline/) as string,
  });
  await expect(proxy.pull.blob(`${prefix}/team/app`, digestOf("unknown"), someone, { head: true })).rejects.toMatchObject({
    code: "BLOB_UNKNOWN",
    message: expect.stringMatching(/configured offline/) as string,
  });
  expect((await proxy.pull.tags(`${prefix}/team/app`, someone, { limit: 10 })).tags).toEqual(["latest"]);
  expect((await proxy.pull.referrers(`${prefix}/team/app`, manifest, someone, {})).referrers).toEqual([]);
  expect(upstream.seen.length).toBe(asked);
});

test("mode Never keeps nothing", async () => {
  configure({ cache: { mode: "Never" } });
  const layer = Buffer.alloc(200_000, "x");
  const { manifest, layer: digest } = upstream.addImage("team/app", "latest", layer);
  for (let pulls = 1; pulls <= 2; pulls++) {
    expect((await pull("latest")).digest).toBe(manifest);
    expect((await pullBlob(proxy.pull, `${prefix}/team/app`, digest)).equals(layer)).toBe(true);
    expect(upstream.asked("/blobs/", "GET")).toHaveLength(pulls);
  }
  upstream.script({ method: "GET", path: /blobs/ }, { kind: "wrongBytes" });
  await expect(pullBlob(proxy.pull, `${prefix}/team/app`, digest)).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringMatching(/bytes that hash to/) as string,
  });
  expect(await proxy.rows("SELECT 1 FROM repositories WHERE name = $1", [`${prefix}/team/app`])).toEqual([]);
});

test("repositories that are not included do not exist", async () => {
  configure({ repositories: { include: ["team/*"], exclude: ["team/secret"] } });
  image("latest", "one");
  expect((await pull("latest")).digest).toMatch(/^sha256:/);
  for (const name of ["team/secret", "other/app", "team/app/deeper"]) {
    await expect(proxy.pull.manifest(`${prefix}/${name}`, { tag: "latest" }, someone)).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
  }
  expect(upstream.asked("secret")).toEqual([]);
});

test("repositoryPrefix", async () => {
  configure({ repositoryPrefix: "team" });
  const digest = image("latest", "one");
  expect((await proxy.pull.manifest(`${prefix}/app`, { tag: "latest" }, someone)).digest).toBe(digest);
});

test("suspend never stops serving", async () => {
  const digest = image("latest", "one");
  const [published] = proxy.configuration.current().upstreams;
  if (published === undefined) throw new Error("no upstream");
  Object.assign(published, { suspend: true });
  expect((await pull("latest")).digest).toBe(digest);
});

test("tags: upstream's pages and the ledger's, sorted, paged, remembered, and as they were when upstream fails", async () => {
  for (let index = 0; index < 250; index++) image(`v${String(index).padStart(3, "0")}`, "same");
  const minted = image("Z", "z");
  await pull("Z");
  await proxy.rows(
    `INSERT INTO ledger (repository, tag, digest, version) SELECT id, '1.0.0', $2, '1.0.0' FROM repositories WHERE name = $1`,
    [`${prefix}/team/app`, minted],
  );
  const list = (page: { limit: number; after?: string }) => proxy.pull.tags(`${prefix}/team/app`, someone, page);
  expect(await list({ limit: 4 })).toEqual({ tags: ["1.0.0", "Z", "v000", "v001"], more: true });
  expect(upstream.asked("/tags/list")).toHaveLength(3);
  expect(await list({ limit: 3, after: "v247" })).toEqual({ tags: ["v248", "v249"], more: false });
  expect(await list({ limit: 0 })).toEqual({ tags: [], more: true });
  expect(upstream.asked("/tags/list")).toHaveLength(3);
  upstream.script("/tags/", { kind: "status", status: 500 });
  expect((await list({ limit: 1000 })).tags).toHaveLength(252);
  await expect(proxy.pull.tags(`${prefix}/team/unknown`, someone, { limit: 1 })).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  upstream.behave();
  await expect(proxy.pull.tags(`${prefix}/team/unknown`, someone, { limit: 1 })).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
});

test("lists that break off are refused, and never short", async () => {
  for (let index = 0; index < 150; index++) image(`v${String(index).padStart(3, "0")}`, "same");
  const list = () => proxy.pull.tags(`${prefix}/team/app`, someone, { limit: 1000 });
  upstream.script("last=", { kind: "status", status: 404 }, 1);
  await expect(list()).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringContaining("breaks off with 404") as string,
  });
  upstream.script("n=1000$", { kind: "headers", headers: { link: '</login?last=a>; rel="next"' } }, 1);
  await expect(list()).rejects.toMatchObject({ code: "UPSTREAM_FAILED", message: expect.stringContaining("cannot be followed") as string });
  expect((await list()).tags).toHaveLength(150);
});

test("a Link to another host is followed here", async () => {
  const stranger = await ScriptedUpstream.start();
  image("a", "a");
  upstream.script("n=1000$", { kind: "headers", headers: { link: `<${stranger.url}/v2/team/app/tags/list?last=a&n=100>; rel="next"` } }, 1);
  expect((await proxy.pull.tags(`${prefix}/team/app`, someone, { limit: 10 })).tags).toEqual(["a"]);
  expect(upstream.asked("/tags/list")).toHaveLength(2);
  expect(stranger.seen).toEqual([]);
  await stranger.stop();
});

test("referrers: the API where there is one, else the fallback tag, and what is cached here; never 404", async () => {
  const subject = image("latest", "one");
  const referrer = (type: string, about: Digest) => ({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: type,
    config: { mediaType: mediaTypes.ociEmpty, digest: digestOf("{}"), size: 2 },
    layers: [],
    subject: { mediaType: mediaTypes.ociManifest, digest: about, size: 1 },
  });
  const list = async (repository: string, digest: Digest, filter = {}) =>
    (await proxy.pull.referrers(repository, digest, someone, filter)).referrers;
  const app = `${prefix}/team/app`;
  expect(await list(app, digestOf("unknown"))).toEqual([]);

  // The fallback tag, and one manifest that only was pulled through us.
  const sbom = upstream.addManifest("team/app", referrer("application/sbom", subject));
  const pulled = upstream.addManifest("team/app", referrer("application/other", subject));
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType: mediaTypes.ociManifest, digest: sbom, size: 10, artifactType: "application/sbom" }, { digest: "bad" }],
  };
  upstream.addManifest("team/app", index, { tag: `sha256-${hexOf(subject)}`, mediaType: mediaTypes.ociIndex });
  await proxy.pull.manifest(app, { digest: pulled }, someone);
  const found = await list(app, subject);
  expect(Object.fromEntries(found.map(({ digest, artifactType }) => [digest, artifactType]))).toEqual({
    [sbom]: "application/sbom",
    [pulled]: "application/other",
  });
  expect(found.map(({ digest }) => digest)).toEqual([sbom, pulled].toSorted((a, b) => (a < b ? -1 : 1)));
  expect((await list(app, subject, { artifactType: "application/sbom" })).map(({ digest }) => digest)).toEqual([sbom]);
  // What upstream lists and we have is there once, and behind the last one is nothing.
  await proxy.pull.manifest(app, { digest: sbom }, someone);
  expect((await list(app, subject)).map(({ digest }) => digest)).toEqual(found.map(({ digest }) => digest));
  expect((await list(app, subject, { after: found[0]!.digest })).map(({ digest }) => digest)).toEqual([found[1]!.digest]);
  expect(await list(app, subject, { after: found[1]!.digest })).toEqual([]);

  // More than is read is said: a list that ends early would mean that there is no more evidence.
  const flooded = digestOf("flooded");
  const flood = { schemaVersion: 2, manifests: Array.from({ length: 10_001 }, () => ({ digest: "bad" })) };
  upstream.addManifest("team/app", flood, { tag: `sha256-${hexOf(flooded)}`, mediaType: mediaTypes.ociIndex });
  await expect(list(app, flooded)).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringContaining("referrers of team/app with more than 10000 entries") as string,
  });

  // The API.
  const modern = await ScriptedUpstream.start({ referrersApi: true });
  const there = modern.addImage("team/app", "latest", Buffer.from("there")).manifest;
  const attested = modern.addManifest("team/app", referrer("application/attestation", there));
  proxy.configuration.publish({ modern: upstreamSpec(modern.url, "modern") });
  expect((await list("modern/team/app", there)).map(({ digest }) => digest)).toEqual([attested]);
  expect(modern.asked("/manifests/")).toEqual([]);
  // A failure is said: an empty list would mean that there is no evidence.
  modern.script("/", { kind: "status", status: 500 });
  await expect(list("modern/team/app", digestOf("other"))).rejects.toMatchObject({ code: "UPSTREAM_FAILED" });
  expect((await list("modern/team/app", there)).map(({ digest }) => digest)).toEqual([attested]);
  await modern.stop();
});

test("when little is left of the limit, it is kept for pulls", async () => {
  image("a", "a");
  image("b", "b");
  image("c", "c");
  upstream.script("/manifests/a", { kind: "headers", headers: { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "19;w=21600" } });
  await pull("a");
  await expect(pull("b", job)).rejects.toMatchObject({
    code: "TOOMANYREQUESTS",
    message: expect.stringMatching(/has 19 of 100 requests left, which are kept for pulls/) as string,
  });
  await expect(proxy.prefetch.prefetch({ repository: `${prefix}/team/app`, reference: "c" })).rejects.toMatchObject({
    code: "TOOMANYREQUESTS",
  });
  expect((await pull("b")).digest).toMatch(/^sha256:/);
  expect(proxy.upstreams.views()[0]).toMatchObject({ reachable: "True", rateLimit: { limit: 100, remaining: 19 } });
});

test("a confirmation changes nothing for those who remember the tag, and no row of the repository is written", async () => {
  const first = upstream.addImage("team/app", "latest", Buffer.from("first"));
  await pull("latest");
  const repository = () => proxy.rows("SELECT xmin, ctid FROM repositories WHERE name = $1", [`${prefix}/team/app`]);
  const told = async () =>
    (
      await proxy.rows<{ key: string }>(
        "SELECT key FROM changes c JOIN repositories r ON c.key = 'tag:' || r.id || ':latest' WHERE r.name = $1",
        [`${prefix}/team/app`],
      )
    ).length;
  const before = await repository();
  expect(await told()).toBe(1);
  // That it is older than they knew is told.
  await age("10 minutes");
  expect(await told()).toBe(2);
  expect((await pull("latest")).digest).toBe(first.manifest);
  expect(await told()).toBe(2);
  const second = upstream.addImage("team/app", "latest", Buffer.from("second"));
  await age("10 minutes");
  expect((await pull("latest")).digest).toBe(second.manifest);
  expect(await told()).toBe(4);
  expect(await repository()).toEqual(before);
});

describe("a warm pull", () => {
  const pullAll = async (tags: readonly string[]) => {
    for (const tag of tags) {
      const { digest } = await pull(tag);
      await proxy.pull.manifest(`${prefix}/team/app`, { digest }, someone, { head: false });
    }
  };

  test("touches memory only: by tag, by version, by digest, and its blobs", async () => {
    const layer = Buffer.from("layer");
    const { manifest } = upstream.addImage("team/app", "latest", layer);
    await pull("latest");
    await proxy.rows(
      "INSERT INTO ledger (repository, tag, digest, version) SELECT id, '1.0', $1, '1.0' FROM repositories WHERE name = $2",
      [manifest, `${prefix}/team/app`],
    );
    const blob = digestOf(layer);
    const pullBlobs = async () => {
      for (const head of [true, false]) await proxy.pull.blob(`${prefix}/team/app`, blob, someone, { head });
    };
    await pullAll(["latest", "1.0"]);
    await proxy.pull.prefetchBlob(`${prefix}/team/app`, blob, "pull");
    await pullBlobs();
    proxy.statements();
    for (let round = 0; round < 3; round++) {
      await pullAll(["latest", "1.0"]);
      await pullBlobs();
    }
    expect(await pullBlob(proxy.pull, `${prefix}/team/app`, blob)).toEqual(layer);
    expect(proxy.statements()).toEqual([]);
  });

  test("of a tag that is to be confirmed asks the database what others confirmed, and the next ones nothing", async () => {
    upstream.addImage("team/app", "latest", Buffer.from("layer"));
    await pull("latest");
    await age("10 minutes");
    await pullAll(["latest"]);
    await pullAll(["latest"]);
    proxy.statements();
    await pullAll(["latest"]);
    expect(proxy.statements()).toEqual([]);
  });

  test("a version that the ledger moves or drops is the new one at once", async () => {
    const [one, two] = ["one", "two"].map((layer) => upstream.addImage("team/app", layer, Buffer.from(layer)).manifest) as [Digest, Digest];
    await pullAll(["one", "two"]);
    const [row] = await proxy.rows<{ id: number }>("SELECT id FROM repositories WHERE name = $1", [`${prefix}/team/app`]);
    const bind = (digest: Digest) =>
      proxy.database.transaction((transaction) => storeVersions(transaction, row!.id, [{ tag: "1.0", digest, version: "1.0" }]), {
        takesAway: true,
      });
    for (const digest of [one, two, two, one]) {
      await bind(digest);
      expect((await pull("1.0")).digest).toBe(digest);
    }
    await proxy.database.transaction((transaction) => dropVersions(transaction, row!.id, ["1.0"]), { takesAway: true });
    await expect(pull("1.0")).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  });

  test("what counts as confirmed no longer is asked for again", async () => {
    upstream.addImage("team/app", "latest", Buffer.from("layer"));
    await pull("latest");
    await pull("latest");
    const asked = upstream.asked("/manifests/latest").length;
    await forgetConfirmations(proxy.database, `default/${prefix}`);
    await pull("latest");
    expect(upstream.asked("/manifests/latest").length).toBe(asked + 1);
  });
});
