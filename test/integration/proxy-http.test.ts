// Through the whole registry with a real client: an upstream's images by crane, and what a client sees of one that lies.

import { randomBytes } from "node:crypto";
import { request, type IncomingMessage } from "node:http";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { pushImage, pushIndex } from "../support/images.ts";
import { use } from "../support/programs.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

const maxBlobBytes = 2 * 1024 * 1024;
const settings = { ...defaultSettings, spool: { ...defaultSettings.spool, maxBlobBytes } };
let registry: TestRegistry;
let distribution: Distribution;
let scripted: ScriptedUpstream;
let host = "";

beforeAll(async () => {
  const user = { name: "robot", password: "s3cret" };
  [registry, distribution, scripted] = await Promise.all([
    startTestRegistry({ settings }),
    startDistribution({ user }),
    ScriptedUpstream.start(),
  ]);
  host = new URL(registry.url).host;
  registry.secrets.set("default", "pull", { username: user.name, password: user.password });
  await use("crane", ["auth", "login", distribution.host, "-u", user.name, "-p", user.password]);
  const auth = { provider: "generic", secretRef: { name: "pull" } } as const;
  await publishFirst(registry.url, [
    { kind: "Upstream", name: "real", spec: upstreamSpec(distribution.url, "real", { auth }) },
    { kind: "Upstream", name: "scripted", spec: upstreamSpec(scripted.url, "scripted", { hosts: ["mirrored.example:5000"] }) },
  ]);
});
afterAll(async () => {
  await registry.stop();
  await scripted.stop();
  await use("crane", ["auth", "logout", distribution.host]);
  await distribution.stop();
});

/** Status and bytes as they came; `complete` false: the connection was cut (status 0: before anything came). */
function get(path: string): Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer; complete: boolean }> {
  return new Promise((resolve) => {
    const sent = request(`${registry.url}${path}`, (response) => {
      const chunks: Buffer[] = [];
      const end = () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks), complete: response.complete });
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", end);
      response.on("end", end);
    });
    sent.on("error", () => resolve({ status: 0, headers: {}, body: Buffer.alloc(0), complete: false }));
    sent.end();
  });
}

test("crane pulls an image and an index through, also when upstream is gone; digests are upstream's", async () => {
  const image = await pushImage({ reference: `${distribution.host}/team/app:1`, content: "app", noise: 500_000 });
  const index = await pushIndex({
    reference: `${distribution.host}/team/multi:1`,
    content: "multi",
    platforms: ["linux/amd64", "linux/arm64"],
  });
  expect(await use("crane", ["digest", "--insecure", `${host}/real/team/app:1`])).toBe(image);
  expect(await use("crane", ["digest", "--insecure", `${host}/real/team/multi:1`])).toBe(index.digest);
  expect((await use("crane", ["ls", "--insecure", `${host}/real/team/app`])).split("\n")).toEqual(["1"]);
  await use("crane", ["validate", "--insecure", "--remote", `${host}/real/team/app:1`]);
  await use("crane", ["validate", "--insecure", "--remote", `${host}/real/team/multi:1`]);
  await expect(use("crane", ["digest", "--insecure", `${host}/real/team/none:1`])).rejects.toThrow(/MANIFEST_UNKNOWN|NAME_UNKNOWN|404/);
});

test("a layer whose last byte is wrong: the connection is cut before its end, and the next try is right", async () => {
  const bytes = randomBytes(400_000);
  const digest = scripted.addBlob("team/app", bytes);
  scripted.script("/blobs/", { kind: "wrongBytes", hold: 300 }, 1);
  const bad = await get(`/v2/scripted/team/app/blobs/${digest}`);
  expect(bad.complete).toBe(false);
  expect(bad.body.length).toBeLessThanOrEqual(bytes.length - 64 * 1024);
  const good = await get(`/v2/scripted/team/app/blobs/${digest}`);
  expect([good.status, good.complete, good.body.equals(bytes)]).toEqual([200, true, true]);
});

test("a small document that is wrong is a 502 that says so", async () => {
  const digest = scripted.addBlob("team/app", Buffer.from('{"a":1}'));
  scripted.script("/blobs/", { kind: "wrongBytes" }, 1);
  const { status, body, headers } = await get(`/v2/scripted/team/app/blobs/${digest}`);
  expect([status, headers["content-type"]]).toEqual([502, "application/json"]);
  expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ message: expect.stringMatching(/bytes that hash to/) as string }] });
});

test("a layer that is larger than the setting allows is refused, with the setting's name", async () => {
  const digest = scripted.addBlob("team/app", randomBytes(maxBlobBytes + 1));
  for (const fault of [undefined, { kind: "longChunked", extra: 0 }] as const) {
    if (fault !== undefined) scripted.script("/blobs/", fault, 1);
    const { status, body, complete } = await get(`/v2/scripted/team/app/blobs/${digest}`);
    expect([status, complete]).toEqual([502, true]);
    expect(JSON.parse(body.toString())).toMatchObject({
      errors: [{ code: "UNAVAILABLE", message: expect.stringMatching(/2097152 .*\(setting spool\.maxBlobBytes\)$/) as string }],
    });
  }
});

test("a layer without a length ends upstream when its client has gone", async () => {
  const digest = scripted.addBlob("team/app", randomBytes(100));
  scripted.script("/blobs/", { kind: "endless" }, 1);
  const client = request(`${registry.url}/v2/scripted/team/app/blobs/${digest}`).on("error", () => {});
  client.end();
  const transfer = () => scripted.asked(digest, "GET")[0];
  await expect.poll(() => transfer()?.sent).toBeGreaterThan(0);
  expect(transfer()?.closed).toBe(false);
  client.destroy();
  await expect.poll(() => transfer()?.closed).toBe(true);
});

test("upstream's referrers come in pages too, each once, under the name and the `ns` they were asked with", async () => {
  const subject = digestOf("subject");
  const all = Array.from({ length: 6000 }, (_, n) => ({
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(String(n)),
    size: n,
    artifactType: n % 2 === 0 ? "application/even" : "application/odd",
    annotations: { text: n === 3 ? "x".repeat(70_000) : "x".repeat(900) },
  }));
  const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...all, all[0]] });
  scripted.script(`/referrers/${subject}`, { kind: "body", status: 200, body, contentType: mediaTypes.ociIndex });
  const replies = async (path: string) => {
    const found: Awaited<ReturnType<typeof get>>[] = [];
    for (let next: string | undefined = path; next !== undefined;) {
      const reply = await get(next);
      expect([reply.status, reply.body.byteLength <= 4 * 1024 * 1024]).toEqual([200, true]);
      found.push(reply);
      next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(String(reply.headers.link ?? ""))?.[1];
    }
    return found;
  };
  const listed = (found: Awaited<ReturnType<typeof replies>>) =>
    found.flatMap(({ body }) => (JSON.parse(body.toString()) as { manifests: typeof all }).manifests);
  const expected = all.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));

  const found = await replies(`/v2/scripted/team/app/referrers/${subject}`);
  expect(found).toHaveLength(2);
  const { annotations: _, ...bare } = all[3]!;
  expect(listed(found)).toEqual(expected.map((referrer) => (referrer.size === 3 ? bare : referrer)));
  expect(scripted.asked(`/referrers/${subject}`)).toHaveLength(1);

  const odd = `referrers/${subject}?artifactType=application%2Fodd`;
  expect(listed(await replies(`/v2/scripted/team/app/${odd}`)).every(({ size }) => size % 2 === 1)).toBe(true);
  expect(listed(await replies(`/v2/scripted/team/app/${odd}`))).toHaveLength(3000);

  const mirrored = await replies(`/v2/team/app/referrers/${subject}?ns=mirrored.example:5000`);
  expect(listed(mirrored)).toHaveLength(6000);
  expect(mirrored[0]?.headers.link).toMatch(/^<\/v2\/team\/app\/referrers\/.+&ns=mirrored\.example%3A5000>; rel="next"$/);
});

test("429 is passed on with its pause, stale tags carry their warning", async () => {
  scripted.addImage("team/app", "latest", Buffer.from("one"));
  expect((await get("/v2/scripted/team/app/manifests/latest")).headers["warning"]).toBeUndefined();
  scripted.script("/manifests/other", { kind: "status", status: 429, headers: { "retry-after": "4" } }, 1);
  const limited = await get("/v2/scripted/team/app/manifests/other");
  expect([limited.status, limited.headers["retry-after"]]).toEqual([429, "4"]);
  expect(JSON.parse(limited.body.toString())).toMatchObject({ errors: [{ code: "TOOMANYREQUESTS" }] });
});
