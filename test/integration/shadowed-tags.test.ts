// Tags of upstream behind minted ones of the same name: what the registry asks to know them, and what a policy says of them.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import type { ResourceView } from "../../src/api/control/resources.ts";
import { storeVersions } from "../../src/registry/metadata/versions.ts";
import { shadowedTags } from "../../src/registry/services/proxy/shadowed-tags.ts";
import { createCosignKey, slsaProvenance } from "../support/cosign.ts";
import { startDistribution } from "../support/distribution.ts";
import { answerTo } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { someone, startProxy, startUpstream, type ProxiedUpstream, type TestProxy } from "../support/proxy.ts";
import type { ScriptedUpstream } from "../support/scripted-upstream.ts";
import { startStandalone } from "../support/standalone.ts";

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

const repository = () => `${prefix}/team/app`;
const shadowed = () => shadowedTags({ database: proxy.database, source: proxy.pull }, repository());
const asked = () => upstream.asked("/tags/list").length;

/** An image at `latest` whose versions are the tags. */
async function minted(...tags: string[]): Promise<void> {
  const { manifest: digest } = upstream.addImage("team/app", "latest", Buffer.from("layer"));
  await proxy.pull.manifest(repository(), { tag: "latest" }, someone);
  const [row] = await proxy.rows<{ id: number }>("SELECT id FROM repositories WHERE name = $1", [repository()]);
  const versions = tags.map((tag) => ({ tag, digest, version: tag }));
  await proxy.database.transaction((transaction) => storeVersions(transaction, row!.id, versions), { takesAway: true });
}

function upstreamTags(...tags: string[]): void {
  const { manifest } = upstream.addImage("team/app", undefined, Buffer.from("upstream's own"));
  for (const tag of tags) upstream.moveTag("team/app", tag, manifest);
}

test("without a version nothing is asked; with one, upstream's list once within tagTTL", async () => {
  upstreamTags("1.0");
  expect(await shadowed()).toEqual({ total: 0, tags: [] });
  expect(asked()).toBe(0);
  await minted("1.0", "1.1");
  expect(await shadowed()).toEqual({ total: 1, tags: ["1.0"] });
  expect(await shadowed()).toEqual({ total: 1, tags: ["1.0"] });
  expect(asked()).toBe(1);
});

test("twenty are named, all are counted", async () => {
  const tags = Array.from({ length: 25 }, (_, index) => `1.${index}`);
  await minted(...tags);
  upstreamTags(...tags);
  expect(await shadowed()).toEqual({ total: 25, tags: tags.toSorted().slice(0, 20) });
});

test.each([401, 403, 404, 429, 500])("a list that is answered with %i: not known", async (status) => {
  await minted("1.0");
  upstreamTags("1.0");
  upstream.script({ path: /\/tags\/list/ }, { kind: "status", status });
  expect(await shadowed()).toEqual({ total: 0, tags: [], unknown: expect.stringContaining(repository()) as string });
});

test("an Upstream that is offline is not asked", async () => {
  await minted("1.0");
  configure({ offline: true });
  expect(await shadowed()).toMatchObject({ total: 0, unknown: expect.stringContaining("is offline") as string });
  expect(asked()).toBe(0);
});

test("a list of more than ten pages costs ten, and not again for hours; who pulls it gets all of it", async () => {
  await minted("1.0");
  upstreamTags("1.0", ...Array.from({ length: 1_000 }, (_, index) => `build-${index}`));
  const unknown = expect.stringContaining("more than 10 pages") as string;
  expect(await shadowed()).toEqual({ total: 0, tags: [], unknown });
  expect(asked()).toBe(10);
  expect(await shadowed()).toEqual({ total: 0, tags: [], unknown });
  expect(asked()).toBe(10);
  expect((await proxy.pull.tags(repository(), someone, { limit: 2_000 })).tags).toHaveLength(1_002);
  // What is remembered costs nothing.
  expect(await shadowed()).toEqual({ total: 1, tags: ["1.0"] });
});

test("a client that wants the list meanwhile does not share the short look", async () => {
  await minted("1.0");
  upstreamTags("1.0", ...Array.from({ length: 1_000 }, (_, index) => `build-${index}`));
  upstream.script({ path: /\/tags\/list/ }, { kind: "delay", milliseconds: 50 });
  const look = shadowed();
  await answerTo("the first page is asked for", async () => (asked() > 0 ? true : undefined));
  expect((await proxy.pull.tags(repository(), someone, { limit: 2_000 })).tags).toHaveLength(1_002);
  expect(await look).toMatchObject({ total: 0, unknown: expect.stringContaining("more than 10 pages") as string });
});

test(
  "upstream gains a tag of a minted name and loses it: Shadowed comes and goes, and the minted one is served",
  { timeout: 300_000 },
  async () => {
    await using stack = new AsyncDisposableStack();
    const config = await mkdtemp(join(tmpdir(), "wharfinger-shadowed-"));
    stack.defer(() => rm(config, { recursive: true, force: true }));
    const distribution = await startDistribution();
    stack.defer(() => distribution.stop());
    const key = await createCosignKey();
    stack.defer(() => key.remove());
    const latest = await pushImage({ reference: `${distribution.host}/acme/app:latest`, content: "app 1.2.3-r0" });
    await key.attest(`${distribution.host}/acme/app@${latest}`, "slsaprovenance1", slsaProvenance({ app: "1.2.3-r0" }));
    const resources = [
      {
        kind: "Upstream",
        metadata: { name: "vendor" },
        spec: { url: distribution.url, insecure: true, prefix: "vendor", cache: { tagTTL: "0s" } },
      },
      {
        kind: "TagPolicy",
        metadata: { name: "images" },
        spec: {
          upstreamRef: { name: "vendor" },
          images: [{ repository: "acme/app" }],
          verify: { keys: [{ secretRef: { name: "cosign-pub" } }] },
        },
      },
    ].map((resource) => ({ apiVersion: "wharfinger.dev/v1alpha1", ...resource }));
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "cosign-pub" }, stringData: { "cosign.pub": key.publicKey } };
    await writeFile(join(config, "all.yaml"), [...resources, secret].map((each) => JSON.stringify(each)).join("\n---\n"));

    const wharfinger = await startStandalone({ config });
    stack.defer(async () => void (await wharfinger.stop()));
    const context = () => wharfinger.logs().slice(-4000);
    const served = async () =>
      (await fetch(`${wharfinger.url}/v2/vendor/acme/app/manifests/1.2.3`)).headers.get("docker-content-digest") ?? undefined;
    expect(await answerTo("the version", served, { context })).toBe(latest);

    /** A run by hand, and the policy once it says what `shown` wants. */
    const ran = async (what: string, shown: (policy: ResourceView) => boolean) => {
      expect((await wharfinger.cli(["job", "tag-sync", "--policy", "default/images"])).code).toBe(0);
      const policy = await answerTo(
        what,
        async () => {
          const { stdout } = await wharfinger.cli(["get", "tagpolicy", "default/images", "-o", "json"]);
          return (JSON.parse(stdout) as ResourceView[]).find(shown);
        },
        { context },
      );
      return Object.fromEntries(policy.status.conditions.map(({ type, status, message }) => [type, [status, message]]));
    };
    const shadow = ({ status }: ResourceView) => status.conditions.find(({ type }) => type === "Shadowed");

    const other = await pushImage({ reference: `${distribution.host}/acme/app:1.2.3`, content: "upstream's own 1.2.3" });
    expect(await ran("Shadowed", (view) => shadow(view) !== undefined)).toMatchObject({
      Ready: ["True", expect.any(String)],
      Synced: ["True", expect.any(String)],
      Shadowed: ["True", "upstream has a tag of the same name as a minted one, and the minted one is served: vendor/acme/app:1.2.3"],
    });
    expect(await served()).toBe(latest);
    expect(wharfinger.logs()).toContain("tagpolicy default/images: upstream has a tag of the same name");

    expect((await fetch(`${distribution.url}/v2/acme/app/manifests/${other}`, { method: "DELETE" })).status).toBe(202);
    expect(await ran("no Shadowed", (view) => shadow(view) === undefined)).not.toHaveProperty("Shadowed");
  },
);
