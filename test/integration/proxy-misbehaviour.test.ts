// Upstreams that misbehave: what the client is told, that nothing wrong is kept, that no credential leaves for another host,
// and that the same pull works once the upstream behaves.

import { createServer, type AddressInfo } from "node:net";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import type { UpstreamSpec } from "../../src/api/kinds.ts";
import { someone, startProxy, upstreamSpec, type TestProxy } from "../support/proxy.ts";
import { ScriptedUpstream, type ScriptedUpstreamOptions } from "../support/scripted-upstream.ts";

const login = { username: "robot", password: "canary-s3cret" };
const layer = Buffer.alloc(300_000, "layer ");
/** What a reader may have got of a blob that turned out wrong. */
const beforeTheLast = layer.length - 64 * 1024;

let proxy: TestProxy;
/** Another machine in the network, which no Upstream names. */
let stranger: ScriptedUpstream;

beforeAll(async () => {
  proxy = await startProxy();
  stranger = await ScriptedUpstream.start();
});
afterAll(async () => {
  await stranger.stop();
  await proxy.stop();
});

interface Image {
  readonly manifest: Digest;
  readonly config: Digest;
  readonly layer: Digest;
}

interface Case {
  readonly name: string;
  readonly options?: ScriptedUpstreamOptions | ((stranger: ScriptedUpstream) => ScriptedUpstreamOptions);
  readonly spec?: (stranger: ScriptedUpstream) => Parameters<typeof upstreamSpec>[2];
  readonly misbehave: (upstream: ScriptedUpstream, image: Image) => void | Promise<void>;
  /** What is pulled: the tag (default), the manifest by digest, the layer, or the layer after the manifest is cached. */
  readonly pull?: "tag" | "digest" | "layer" | "cachedThenLayer";
  readonly code: string;
  readonly message: RegExp;
  /** What only the log and the status of the Upstream say. */
  readonly because?: RegExp;
  readonly retryAfter?: number;
  /** The pull afterwards works (default). False: the upstream's own words forbid to ask again so soon, or the fault is for good. */
  readonly recovers?: false;
}

const refusedByPolicy = (because: RegExp) => ({
  message: /^[^,]+ is not cached, and the upstream may not be asked \(egress policy\); its administrator sees why in the status$/,
  because,
});
const manifests = "/manifests/";
const blobs = { method: "GET", path: /\/blobs\// };

const cases: readonly Case[] = [
  // ------------------------------------------------------------------------------------------------------------- manifests
  {
    name: "an HTML page for a manifest",
    misbehave: (upstream) => upstream.script(manifests, { kind: "body", body: "<html>log in</html>", contentType: "text/html" }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/, // its Docker-Content-Digest is still the manifest's
  },
  {
    name: "an HTML page for a manifest, without a digest",
    misbehave: (upstream) =>
      upstream.script(manifests, { kind: "status", status: 200, body: "<html>log in</html>", headers: { "content-type": "text/html" } }, 1),
    code: "UPSTREAM_FAILED",
    message: /is no manifest: /,
  },
  {
    name: "JSON that is no manifest",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 200, body: '{"hello":"world"}' }, 1),
    code: "UPSTREAM_FAILED",
    message: /is no manifest: `schemaVersion` must be 2/,
  },
  {
    name: "a schema 1 manifest",
    misbehave: (upstream) =>
      upstream.script(
        manifests,
        { kind: "status", status: 200, body: '{"schemaVersion":1}', headers: { "content-type": mediaTypes.dockerSchema1Signed } },
        1,
      ),
    code: "UPSTREAM_FAILED",
    message: /schema 1/,
  },
  {
    name: "a document that is manifest and index at once",
    misbehave: (upstream) =>
      upstream.script(
        manifests,
        {
          kind: "status",
          status: 200,
          headers: { "content-type": mediaTypes.ociIndex },
          body: JSON.stringify({ schemaVersion: 2, manifests: [], layers: [] }),
        },
        1,
      ),
    code: "UPSTREAM_FAILED",
    message: /two things at once/,
  },
  {
    name: "a Content-Type that contradicts the document",
    misbehave: (upstream) => upstream.script(manifests, { kind: "headers", headers: { "content-type": mediaTypes.ociIndex } }, 1),
    code: "UPSTREAM_FAILED",
    message: /They must be equal/,
  },
  {
    name: "a manifest by tag that is not what its digest header says",
    misbehave: (upstream) => upstream.script(manifests, { kind: "wrongBytes", at: 5 }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "a manifest by digest with other bytes",
    pull: "digest",
    misbehave: (upstream) => upstream.script(manifests, { kind: "wrongBytes", at: 5 }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "a manifest by digest with other bytes and a digest header to match",
    pull: "digest",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 200, body: "{}" }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "a manifest of 5 MiB",
    misbehave: (upstream) => upstream.script(manifests, { kind: "body", body: Buffer.alloc(5 * 1024 * 1024, 32) }, 1),
    code: "UPSTREAM_FAILED",
    message: /more than 4194304 bytes/,
  },
  {
    name: "half a manifest",
    misbehave: (upstream) => upstream.script(manifests, { kind: "truncate", after: 20 }, 2),
    code: "UPSTREAM_FAILED",
    message: /closed the connection before its answer was complete/,
  },
  {
    name: "a manifest that stalls",
    misbehave: (upstream) => upstream.script(manifests, { kind: "stall", after: 20 }, 1),
    code: "UPSTREAM_FAILED",
    message: /sent nothing for 1\.5 s/,
  },
  {
    name: "429 with Retry-After",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 429, headers: { "retry-after": "7" } }, 1),
    code: "TOOMANYREQUESTS",
    message: /answers 429 \(too many requests\); ask again in 7 s/,
    retryAfter: 7,
    recovers: false,
  },
  {
    name: "429 without Retry-After",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 429 }, 1),
    code: "TOOMANYREQUESTS",
    message: /ask again in 5 s/,
    retryAfter: 5,
    recovers: false,
  },
  {
    name: "500",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 500 }, 1),
    code: "UPSTREAM_FAILED",
    message: /answers 500$/,
  },
  {
    name: "503 with Retry-After",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 503, headers: { "retry-after": "3" } }, 1),
    code: "UPSTREAM_FAILED",
    message: /answers 503$/,
    retryAfter: 3,
  },
  {
    name: "418, which nobody expects",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 418 }, 1),
    code: "UPSTREAM_FAILED",
    message: /answers 418 for manifest latest/,
  },
  {
    name: "403",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 403 }, 1),
    code: "DENIED",
    message: /with 403: it does not exist, or it needs credentials/,
  },
  {
    name: "silence",
    misbehave: (upstream) => upstream.script(manifests, { kind: "silent" }, 1),
    code: "UPSTREAM_FAILED",
    message: /did not answer within 2 s/,
  },
  {
    name: "connections that end at once",
    misbehave: (upstream) => upstream.script(manifests, { kind: "reset" }, 2),
    code: "UPSTREAM_FAILED",
    message: /closed the connection/,
  },
  {
    name: "nobody there",
    misbehave: (upstream) => upstream.stop(),
    code: "UPSTREAM_FAILED",
    message: /cannot be reached \(ECONNREFUSED\)/,
    recovers: false,
  },
  // ------------------------------------------------------------------------------------------------------------- redirects
  {
    name: "a redirect to a machine inside",
    misbehave: (upstream) => upstream.script(manifests, { kind: "redirect", location: `${stranger.url}/v2/x/manifests/latest` }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/: 127\.0\.0\.1 is an internal address/),
  },
  {
    name: "a redirect to a machine inside, oddly written",
    misbehave: (upstream) => upstream.script(manifests, { kind: "redirect", location: `http://0x7f.1:${stranger.host.split(":")[1]}/` }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/an internal address/),
  },
  {
    name: "a redirect to the metadata service",
    misbehave: (upstream) => upstream.script(manifests, { kind: "redirect", location: "http://169.254.169.254/latest/meta-data/" }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/: 169\.254\.169\.254 is an internal address/),
  },
  {
    name: "a redirect to a file",
    misbehave: (upstream) => upstream.script(manifests, { kind: "redirect", location: "file:///etc/passwd" }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/is not https/),
  },
  {
    name: "a redirect with a user name",
    misbehave: (upstream) => upstream.script(manifests, { kind: "redirect", location: `http://a:b@${stranger.host}/` }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/user name/),
  },
  {
    name: "redirects in a circle",
    misbehave: (upstream) => upstream.script(manifests, { kind: "redirect", location: "/v2/team/app/manifests/latest" }, 6),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/redirects more than 5 times/),
  },
  {
    name: "a redirect without Location",
    misbehave: (upstream) => upstream.script(manifests, { kind: "status", status: 302 }, 1),
    code: "UPSTREAM_FAILED",
    message: /answers 302 without a usable Location/,
  },
  // ------------------------------------------------------------------------------------------------- challenges and tokens
  {
    name: "a realm at another host",
    options: (other) => ({ challenge: "bearer", login, realm: `${other.url}/token` }),
    misbehave: () => {},
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/asks for a token from .*, which is another host; no credentials were sent/),
    recovers: false,
  },
  {
    name: "a realm at the metadata service",
    options: { challenge: "bearer", login, realm: "http://169.254.169.254/token" },
    misbehave: () => {},
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/no credentials were sent/),
    recovers: false,
  },
  {
    name: "a realm that is no address",
    options: { challenge: "bearer", login, realm: "http://[" },
    misbehave: () => {},
    code: "UPSTREAM_FAILED",
    message: /an address that is no URL/,
    recovers: false,
  },
  {
    name: "a token server that redirects inside",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "redirect", location: `${stranger.url}/token` }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/an internal address/),
  },
  {
    name: "a token server that fails",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "status", status: 502 }, 1),
    code: "UPSTREAM_FAILED",
    message: /answers 502 to the request for a token/,
  },
  {
    name: "a token server that answers HTML",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "body", body: "<html>", contentType: "text/html" }, 1),
    code: "UPSTREAM_FAILED",
    message: /with something that is not JSON/,
  },
  {
    name: "a token server that says null",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "body", body: "null" }, 1),
    code: "UPSTREAM_FAILED",
    message: /without a token/,
  },
  {
    name: "a token that would break a header",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "body", body: JSON.stringify({ token: "a\r\nX-Evil: 1" }) }, 1),
    code: "UPSTREAM_FAILED",
    message: /without a token/,
  },
  {
    name: "a token that says unauthenticated",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "body", body: JSON.stringify({ token: "unauthenticated" }) }, 1),
    code: "DENIED",
    message: /does not accept the login/,
  },
  {
    name: "a token answer without end",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "body", body: Buffer.alloc(2 * 1024 * 1024, 32) }, 1),
    code: "UPSTREAM_FAILED",
    message: /more than 1048576 bytes/,
  },
  {
    name: "a token that does not help",
    options: { challenge: "bearer", login },
    misbehave: (upstream) => upstream.script("^/token", { kind: "body", body: JSON.stringify({ token: "useless" }) }, 1),
    code: "DENIED",
    message: /with 401: it does not exist, or the login of spec\.auth\.secretRef may not read it/,
  },
  {
    name: "a login that is wrong",
    options: { challenge: "bearer", login: { ...login, password: "another" } },
    misbehave: () => {},
    code: "DENIED",
    message: /gives no token to the login of spec\.auth\.secretRef \(401\)/,
    recovers: false,
  },
  {
    name: "a login that is wrong, with Basic",
    options: { challenge: "basic", login: { ...login, password: "another" } },
    misbehave: () => {},
    code: "DENIED",
    message: /with 401/,
    recovers: false,
  },
  {
    name: "a challenge nobody can answer",
    options: { challenge: "basic", login, authenticate: "Negotiate" },
    misbehave: () => {},
    code: "DENIED",
    message: /with 401/,
    recovers: false,
  },
  {
    name: "a redirect to an allowed host that asks for credentials",
    options: { challenge: "bearer", login },
    spec: (other) => ({ allowedHosts: [other.host] }),
    misbehave: (upstream) => {
      stranger.script("/asks", { kind: "status", status: 401, headers: { "www-authenticate": 'Basic realm="give me"' } });
      upstream.script(manifests, { kind: "redirect", location: `${stranger.url}/asks` }, 2);
    },
    code: "DENIED",
    message: /with 401/,
  },
  // ----------------------------------------------------------------------------------------------------------------- blobs
  {
    name: "a layer whose last byte is wrong",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "wrongBytes" }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "a layer whose first byte is wrong",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "wrongBytes", at: 0 }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "a layer that breaks off every time",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "truncate", after: 1000 }, 5),
    code: "UPSTREAM_FAILED",
    message: /closed the connection before its answer was complete/,
  },
  {
    name: "a layer that stalls every time",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "stall", after: 1000 }, 5),
    code: "UPSTREAM_FAILED",
    message: /sent nothing for 1\.5 s/,
  },
  {
    name: "a layer that is shorter than the manifest says",
    pull: "cachedThenLayer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "shortChunked", after: 1000 }, 4),
    code: "UPSTREAM_FAILED",
    message: /upstream sent 4000 of 300000 bytes/, // each of three resumptions brought 1000 more
  },
  {
    name: "a layer that is longer than the manifest says",
    pull: "cachedThenLayer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "longChunked", extra: 1000 }, 1),
    code: "UPSTREAM_FAILED",
    message: /sends more than the 300000 bytes/,
  },
  {
    name: "another layer, of another size",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "body", body: "another layer" }, 1),
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "an HTML page for a layer",
    pull: "layer",
    misbehave: (upstream) =>
      upstream.script(blobs, { kind: "body", body: "<html>quota</html>", contentType: "text/html; charset=utf-8" }, 1),
    code: "UPSTREAM_FAILED",
    message: /with an HTML page/,
  },
  {
    name: "an empty answer for a layer",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "body", body: "" }, 1),
    code: "UPSTREAM_FAILED", // before the answer: nobody would read anything, and take that for the whole
    message: /bytes that hash to/,
  },
  {
    name: "a layer after a redirect inside",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "redirect", location: `${stranger.url}/blob` }, 1),
    code: "UPSTREAM_FAILED",
    ...refusedByPolicy(/an internal address/),
  },
  {
    name: "429 for a layer",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "status", status: 429, headers: { "retry-after": "9" } }, 1),
    code: "TOOMANYREQUESTS",
    message: /ask again in 9 s/,
    retryAfter: 9,
    recovers: false,
  },
  {
    name: "500 for a layer",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "status", status: 500 }, 1),
    code: "UPSTREAM_FAILED",
    message: /answers 500$/,
  },
  {
    name: "404 for a layer",
    pull: "layer",
    misbehave: (upstream) => upstream.script(blobs, { kind: "status", status: 404 }, 1),
    code: "BLOB_UNKNOWN",
    message: /is not cached, and upstream does not have it/,
    recovers: false, // believed for some seconds
  },
  {
    name: "a resumed layer that continues with another blob",
    pull: "layer",
    misbehave: (upstream) => {
      upstream.script(blobs, { kind: "wrongBytes", at: 10 }, 1);
      upstream.script(blobs, { kind: "stall", after: 1000 }, 1);
    },
    code: "UPSTREAM_FAILED",
    message: /bytes that hash to/,
  },
  {
    name: "a resumed layer that says another size",
    pull: "layer",
    misbehave: (upstream) => {
      upstream.script(blobs, { kind: "headers", headers: { "content-range": "bytes 1000-8999/9000", "content-length": "" } }, 1);
      upstream.script(blobs, { kind: "stall", after: 1000 }, 1);
    },
    code: "UPSTREAM_FAILED",
    message: /has 9000 bytes, and said 300000 before/,
  },
  {
    name: "a resumed layer at another place",
    pull: "layer",
    misbehave: (upstream) => {
      upstream.script(blobs, { kind: "headers", headers: { "content-range": "bytes 5-299999/300000" } }, 1);
      upstream.script(blobs, { kind: "stall", after: 1000 }, 1);
    },
    code: "UPSTREAM_FAILED",
    message: /another range/,
  },
];

let counter = 0;

/** What went wrong, wherever it did: before the answer, or while it was read. */
async function failureOf(work: () => Promise<void>): Promise<{ code: string; message: string; retryAfter?: number } | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error as { code: string; message: string; retryAfter?: number };
  }
}

async function pullAs(how: Case["pull"], repository: string, image: Image): Promise<Buffer[]> {
  const given: Buffer[] = [];
  if (how === undefined || how === "tag") await proxy.pull.manifest(repository, { tag: "latest" }, someone);
  else if (how === "digest") await proxy.pull.manifest(repository, { digest: image.manifest }, someone);
  else await readLayer(repository, image.layer, given);
  return given;
}

async function readLayer(repository: string, digest: Digest, given: Buffer[]): Promise<void> {
  const answer = await proxy.pull.blob(repository, digest, someone, { head: false });
  const reader = await answer.open();
  const buffer = Buffer.alloc(64 * 1024);
  try {
    for (let position = 0; position < reader.size;) {
      const count = await reader.read(buffer, position);
      if (count === 0) throw new Error("the reader ended early");
      given.push(Buffer.from(buffer.subarray(0, count)));
      position += count;
    }
  } finally {
    await reader.close();
  }
}

test.each(cases)("$name", async (it) => {
  const options = typeof it.options === "function" ? it.options(stranger) : (it.options ?? {});
  const upstream = await ScriptedUpstream.start(options);
  const prefix = `case${++counter}`;
  const repository = `${prefix}/team/app`;
  stranger.seen.length = 0;
  stranger.behave();
  proxy.log.length = 0;
  try {
    const image = upstream.addImage("team/app", "latest", layer);
    proxy.configuration.setSecret("pull", login);
    const auth: Partial<UpstreamSpec> =
      options.challenge === undefined ? {} : { auth: { provider: "generic", secretRef: { name: "pull" } } };
    proxy.configuration.publish({ [prefix]: upstreamSpec(upstream.url, prefix, { ...auth, ...it.spec?.(stranger) }) });
    if (it.pull === "cachedThenLayer") await proxy.pull.manifest(repository, { tag: "latest" }, someone);
    await it.misbehave(upstream, image);

    const given: Buffer[] = [];
    const failure = await failureOf(async () => {
      if (it.pull === "layer" || it.pull === "cachedThenLayer") await readLayer(repository, image.layer, given);
      else await pullAs(it.pull, repository, image);
    });
    expect(failure).toMatchObject({ code: it.code, message: expect.stringMatching(it.message) as string });
    expect(failure?.retryAfter).toBe(it.retryAfter);
    const forAdministrators = [proxy.upstreams.views()[0]?.message ?? "", proxy.log.join("")];
    expect(forAdministrators.filter((text) => it.because?.test(text) === false)).toEqual([]);
    // The last bytes of something wrong never go out, so nobody can take it for whole.
    expect(Buffer.concat(given).length).toBeLessThanOrEqual(beforeTheLast);

    // Nothing wrong is kept.
    await expect.poll(() => proxy.rows("SELECT key FROM objects WHERE state IN ('uploading', 'live')")).toEqual([]);
    const kept = await proxy.rows<{ digest: string }>(
      `SELECT m.digest FROM manifests m JOIN repositories r ON r.id = m.repository WHERE r.name = $1
       UNION ALL SELECT l.digest FROM repository_blobs l JOIN repositories r ON r.id = l.repository WHERE r.name = $1`,
      [repository],
    );
    expect(kept).toEqual(it.pull === "cachedThenLayer" ? [{ digest: image.manifest }] : []);

    // No secret went to another host, into a log, or into a message.
    expect(stranger.seen.filter(({ headers }) => headers.authorization !== undefined || headers.cookie !== undefined)).toEqual([]);
    const secrets = [login.password, Buffer.from(`${login.username}:${login.password}`).toString("base64"), "token-team/app"];
    const said = [...proxy.log, String(failure?.message), JSON.stringify(failure), JSON.stringify(stranger.seen)].join("\n");
    expect(secrets.filter((secret) => said.includes(secret))).toEqual([]);

    if (it.recovers === false) return;
    upstream.behave();
    stranger.behave();
    const again = Buffer.concat(await pullAs(it.pull, repository, image));
    const isLayer = it.pull === "layer" || it.pull === "cachedThenLayer";
    expect(again.equals(isLayer ? layer : Buffer.alloc(0))).toBe(true);
    await expect.poll(() => proxy.rows("SELECT key FROM objects WHERE state = 'uploading'")).toEqual([]);
    await forget(image.layer);
  } finally {
    await upstream.stop();
  }
});

/** Between cases: the same layer must be cold again. */
async function forget(digest: Digest): Promise<void> {
  for (const text of [
    `DELETE FROM repository_blobs WHERE digest = $1`,
    `UPDATE objects SET state = 'doomed', doomed_at = now() WHERE key = (SELECT object_key FROM blobs WHERE digest = $1)`,
    `DELETE FROM blobs WHERE digest = $1`,
  ]) {
    await proxy.rows(text, [digest]);
  }
}

test("what does not speak HTTP", async () => {
  const server = createServer((socket) => socket.resume().end("SSH-2.0-OpenSSH_9.9\r\n"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  proxy.configuration.publish({ ssh: upstreamSpec(`http://127.0.0.1:${port}`, "ssh") });
  await expect(proxy.pull.manifest("ssh/team/app", { tag: "latest" }, someone)).rejects.toMatchObject({
    code: "UPSTREAM_FAILED",
    message: expect.stringMatching(/does not speak proper HTTP$/) as string,
  });
  await new Promise((resolve) => server.close(resolve));
});
