// A client of any registry: pushes images in every way that clients do, moves tags, deletes, and journals before and after.

import { createHash, randomBytes, randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { Journal } from "./journal.ts";

export interface Blob {
  readonly digest: string;
  readonly size: number;
}

export const manifestType = "application/vnd.oci.image.manifest.v1+json";
const octets = { "content-type": "application/octet-stream" };
const patience = 60_000;

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** An answer that is not the expected one. */
export class UnexpectedAnswer extends Error {
  readonly status: number;
  readonly body: string;
  constructor(what: string, status: number, body: string) {
    super(`${what}: ${status} ${body.slice(0, 300)}`);
    this.name = "UnexpectedAnswer";
    this.status = status;
    this.body = body;
  }
}

async function send(method: string, url: URL, expected: number, options: { body?: Uint8Array; type?: string } = {}): Promise<Response> {
  const headers = options.type === undefined ? octets : { "content-type": options.type };
  const reply = await fetch(url, { method, body: options.body, headers, signal: AbortSignal.timeout(patience) });
  if (reply.status === expected) {
    await reply.arrayBuffer();
    return reply;
  }
  throw new UnexpectedAnswer(`${method} ${url.pathname}`, reply.status, await reply.text());
}

const locationOf = (reply: Response, url: string) => {
  const { pathname, search } = new URL(reply.headers.get("location") ?? "", url);
  return `${pathname}${search}`;
};

/** `url`: of any process; asked anew for every request, so that one upload meets several. `once`: one POST with everything, which not every registry has. */
export async function pushBlob(url: () => string, repository: string, bytes: Uint8Array, options: { once: boolean }): Promise<Blob> {
  const digest = sha256(bytes);
  const blob = { digest, size: bytes.byteLength };
  const way = randomInt(options.once ? 4 : 3);
  if (way === 3) {
    await send("POST", new URL(`/v2/${repository}/blobs/uploads/?digest=${digest}`, url()), 201, { body: bytes });
    return blob;
  }
  const start = await send("POST", new URL(`/v2/${repository}/blobs/uploads/`, url()), 202);
  let location = locationOf(start, url());
  // docker: one PATCH and an empty PUT. Others: pieces, the last one with the PUT.
  const cuts = way === 0 ? [bytes.byteLength] : way === 1 ? [Math.trunc(bytes.byteLength / 2)] : [0];
  let sent = 0;
  for (const cut of cuts) {
    if (cut === 0) continue;
    location = locationOf(await send("PATCH", new URL(location, url()), 202, { body: bytes.subarray(0, cut) }), url());
    sent = cut;
  }
  const last = new URL(location, url());
  last.searchParams.set("digest", digest);
  await send("PUT", last, 201, { body: bytes.subarray(sent) });
  return blob;
}

/** False: the registry wants the bytes. */
export async function mountBlob(url: string, repository: string, from: string, digest: string): Promise<boolean> {
  const to = new URL(`/v2/${repository}/blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`, url);
  const reply = await fetch(to, { method: "POST", signal: AbortSignal.timeout(patience) });
  await reply.arrayBuffer();
  return reply.status === 201;
}

export async function hasBlob(url: string, repository: string, digest: string): Promise<boolean> {
  const reply = await fetch(new URL(`/v2/${repository}/blobs/${digest}`, url), { method: "HEAD", signal: AbortSignal.timeout(patience) });
  return reply.status === 200;
}

export function manifestOf(config: Blob, layers: readonly Blob[], annotations: Record<string, string> = {}): Buffer {
  const described = (mediaType: string) => (blob: Blob) => ({ mediaType, ...blob });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: described("application/vnd.oci.image.config.v1+json")(config),
      layers: layers.map(described("application/vnd.oci.image.layer.v1.tar")),
      annotations,
    }),
  );
}

export async function pushManifest(url: string, repository: string, tag: string, manifest: Uint8Array): Promise<void> {
  await send("PUT", new URL(`/v2/${repository}/manifests/${tag}`, url), 201, { body: manifest, type: manifestType });
}

export async function deleteManifest(url: string, repository: string, digest: string): Promise<void> {
  await send("DELETE", new URL(`/v2/${repository}/manifests/${digest}`, url), 202);
}

export interface PusherOptions {
  readonly name: string;
  readonly journal: Journal;
  /** Of a process that lives, as far as one knows. */
  readonly url: () => string;
  readonly stopped: () => boolean;
  readonly onPushed?: () => void;
  readonly onFailed?: (error: unknown) => void;
  /** It never deletes more than so many. */
  readonly keep?: number;
  readonly largest?: number;
  /** A POST with the whole blob is understood; true by default. */
  readonly once?: boolean;
}

/** Pushes image after image to a repository of its own, and deletes some again, until it is stopped. Failures are told and gone over. */
export async function pushUntilStopped(options: PusherOptions): Promise<void> {
  const { name, journal, url, stopped } = options;
  const repository = `team-${name}/app`;
  const alive: string[] = [];
  const large = options.largest ?? 400_000;
  for (let n = 0; !stopped(); n++) {
    try {
      const sizes = [200 + randomInt(2_000), 50_000 + randomInt(large - 50_000)];
      const [config, layer] = await Promise.all(
        sizes.map((size) => pushBlob(url, repository, randomBytes(size), { once: options.once ?? true })),
      );
      const manifest = manifestOf(config!, [layer!]);
      const tag = `t${n % 5}`;
      const digest = sha256(manifest);
      const id = journal.intend({ op: "push", repository, tag, digest, blobs: [config!.digest, layer!.digest] });
      await pushManifest(url(), repository, tag, manifest);
      journal.acknowledge(id);
      alive.push(digest);
      options.onPushed?.();
      if (alive.length > (options.keep ?? 4) && n % 3 === 0) {
        const going = alive.shift()!;
        const deleting = journal.intend({ op: "delete", repository, digest: going });
        await deleteManifest(url(), repository, going);
        journal.acknowledge(deleting);
      }
    } catch (error) {
      options.onFailed?.(error);
      await sleep(50);
    }
  }
}
