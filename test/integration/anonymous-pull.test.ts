// What may be pulled without a login: `access.anonymousPull` on a registry that somebody has written a policy for, and an Upstream that gets
// credentials while others pull from it (nodes.md, "Who pays").

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import type { RecordedResource } from "../../src/api/control/record.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings, type Settings } from "../../src/config/settings.ts";
import { digestOf, imageManifest, pushImage, putManifest } from "../conformance/content.ts";
import { createCertificates, type KeyPair } from "../support/certificates.ts";
import { send } from "../support/http.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";

let upstream: TestRegistry;
let authority: string;
let client: KeyPair;
beforeAll(async () => {
  ({ authority, client } = await createCertificates());
  upstream = await startTestRegistry();
  await pushImage(upstream.url, "team/app", "latest");
  const subject = digestOf(imageManifest({ config: digestOf("{}"), layers: [] }));
  const referrer = imageManifest({ config: digestOf("{}"), layers: [], subject });
  await putManifest(upstream.url, "team/app", digestOf(referrer), referrer);
});
afterAll(() => upstream.stop());

let revision: string | null;
beforeEach(() => void (revision = null));

/** The whole configuration: an Upstream, and a policy about somebody else. */
async function publish(registry: TestRegistry, spec: object): Promise<void> {
  const client = new ControlClient({ url: registry.url, token: adminToken });
  const next = `r${Number(revision?.slice(1) ?? 0) + 1}`;
  const common = { namespace: "default", generation: 1, revision: next, suspend: false };
  const rule = { subjects: [{ kind: "User", name: "ci" }], repositories: { include: ["team-a/**"] }, actions: ["pull", "push"] };
  const resources: RecordedResource[] = [
    {
      ...common,
      kind: "Upstream",
      name: "hub",
      spec: { prefix: "hub", hosts: ["docker.example"], url: upstream.url, insecure: true, ...spec },
    },
    { ...common, kind: "AccessPolicy", name: "ci", spec: rule },
  ];
  const { refused = [] } = await client.publish({ revision: next, base: revision, resources, ledgers: {}, settled: [] });
  expect(refused).toEqual([]);
  revision = next;
  await client.close();
}

const manifest = imageManifest({ config: digestOf("{}"), layers: [] });
const reads = {
  "a tag": ["GET", "manifests/latest"],
  "a tag's HEAD": ["HEAD", "manifests/latest"],
  "a digest": ["GET", `manifests/${digestOf(manifest)}`],
  "a blob": ["GET", `blobs/${digestOf("{}")}`],
  "the tags": ["GET", "tags/list"],
  "the referrers": ["GET", `referrers/${digestOf(manifest)}`],
} as const;

/** What nobody in particular is answered, under the prefix and as a mirror. */
async function answers(registry: TestRegistry): Promise<Record<string, readonly number[]>> {
  const found: Record<string, readonly number[]> = {};
  for (const [what, [method, path]] of Object.entries(reads)) {
    const under = await send(registry.url, method, `/v2/hub/team/app/${path}`);
    const mirrored = await send(registry.url, method, `/v2/team/app/${path}?ns=docker.example`);
    found[what] = [under.status, mirrored.status];
  }
  return found;
}
const all = (status: number) => Object.fromEntries(Object.keys(reads).map((what) => [what, [status, status]]));
const catalog = async (registry: TestRegistry) => (await send(registry.url, "GET", "/v2/_catalog")).json();

async function within<T>(access: Partial<Settings["access"]>, work: (registry: TestRegistry) => Promise<T>): Promise<T> {
  const registry = await startTestRegistry({ settings: { ...defaultSettings, access: { ...defaultSettings.access, ...access } } });
  registry.secrets.set("default", "login", { username: "x", password: "y" });
  registry.secrets.set("default", "certificate", { "ca.crt": authority, "tls.crt": client.cert, "tls.key": client.key });
  try {
    return await work(registry);
  } finally {
    await registry.stop();
  }
}

const credentials = { auth: { secretRef: { name: "login" } } };

test.each([
  ["PublicUpstreams, what a program without a word of it does", {}, { open: 200, closed: 401, own: 401 }],
  ["None", { anonymousPull: "None" }, { open: 401, closed: 401, own: 401 }],
  ["All", { anonymousPull: "All" }, { open: 200, closed: 200, own: 200 }],
] as const)("%s: an upstream without credentials, from the moment that it has some, and own repositories", async (_, access, right) => {
  await within(access, async (registry) => {
    await pushImage(registry.url, "team-a/app", "latest");
    const shown = (upstream: number) => ({
      repositories: [...(upstream === 200 ? ["hub/team/app"] : []), ...(right.own === 200 ? ["team-a/app"] : [])],
    });
    await publish(registry, {});
    expect(await answers(registry)).toEqual(all(right.open));
    expect(await catalog(registry)).toEqual(shown(right.open));
    // Its content is here by now, and was everybody's until this publish.
    await publish(registry, credentials);
    expect(await answers(registry)).toEqual(all(right.closed));
    expect(await catalog(registry)).toEqual(shown(right.closed));
    await publish(registry, {});
    expect(await answers(registry)).toEqual(all(right.open));

    expect((await send(registry.url, "GET", "/v2/team-a/app/manifests/latest")).status).toBe(right.own);
    expect((await send(registry.url, "POST", "/v2/team-a/app/blobs/uploads/")).status).toBe(401);
    expect((await send(registry.url, "DELETE", "/v2/team-a/app/manifests/latest")).status).toBe(401);
  });
});

test("an authority is no credential: an upstream with one alone is public, for as long as its Secret holds nothing else", async () => {
  await within({}, async (registry) => {
    const secret = (data: Readonly<Record<string, string>> | undefined) => registry.secrets.set("default", "trusted", data);
    await publish(registry, { certSecretRef: { name: "trusted" } });
    expect(await answers(registry)).toEqual(all(401));
    secret({ "ca.crt": authority });
    expect(await answers(registry)).toEqual(all(200));
    const { cert, key } = client;
    for (const more of [Object.entries({ "tls.crt": cert, "tls.key": key }), [["tls.crt", cert]], [["tls.key", key]]]) {
      secret({ "ca.crt": authority, ...(Object.fromEntries(more) as Record<string, string>) });
      expect(await answers(registry)).toEqual(all(401));
    }
    secret({ "tls.crt": client.cert, "tls.key": client.key });
    expect(await answers(registry)).toEqual(all(401));
    secret(undefined);
    expect(await answers(registry)).toEqual(all(401));
  });
});

test.each([
  ["a login", credentials],
  ["a client certificate's Secret", { certSecretRef: { name: "certificate" } }],
  ["a cloud's identity", { auth: { provider: "aws" } }],
])("an upstream with %s is no public one", async (_, spec) => {
  await within({}, async (registry) => {
    await publish(registry, {
      ...spec,
      url: spec === credentials ? upstream.url : "https://registry.example.com",
      insecure: spec === credentials,
    });
    expect((await send(registry.url, "GET", "/v2/hub/team/app/manifests/latest")).status).toBe(401);
    expect((await send(registry.url, "GET", "/v2/team/app/manifests/latest?ns=docker.example")).status).toBe(401);
  });
});
