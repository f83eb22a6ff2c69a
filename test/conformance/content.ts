// Content that the conformance tests push, and the shortest way to push it.

import { createHash, randomBytes } from "node:crypto";

import { expect } from "vitest";

import { mediaTypes } from "../../src/domain/media-types.ts";
import { send, type Reply } from "../support/http.ts";

export const digestOf = (bytes: string | Uint8Array, algorithm: "sha256" | "sha512" = "sha256") =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;

export const randomBlob = (size: number): Buffer => randomBytes(size);

/** A name of its own for each test. */
export const freshName = (): string => `team/${randomBytes(6).toString("hex")}`;

/** Uploads with POST and PUT; resolves with the digest. */
export async function pushBlob(url: string, name: string, bytes: Uint8Array | string): Promise<string> {
  const digest = digestOf(bytes);
  const started = await send(url, "POST", `/v2/${name}/blobs/uploads/`);
  const done = await send(url, "PUT", `${started.headers.location}?digest=${digest}`, { body: bytes });
  expect(done.status).toBe(201);
  return digest;
}

export interface ImageParts {
  readonly config: string;
  readonly layers: readonly string[];
  readonly subject?: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image manifest as text. */
export function imageManifest({ config, layers, subject, artifactType, annotations }: ImageParts): string {
  const descriptor = (digest: string, mediaType: string) => ({ mediaType, digest, size: 2 });
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...(artifactType === undefined ? {} : { artifactType }),
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: layers.map((digest) => descriptor(digest, "application/vnd.oci.image.layer.v1.tar")),
    ...(subject === undefined ? {} : { subject: descriptor(subject, mediaTypes.ociManifest) }),
    ...(annotations === undefined ? {} : { annotations }),
  });
}

export function putManifest(
  url: string,
  name: string,
  reference: string,
  manifest: string,
  mediaType: string = mediaTypes.ociManifest,
): Promise<Reply> {
  return send(url, "PUT", `/v2/${name}/manifests/${reference}`, { headers: { "content-type": mediaType }, body: manifest });
}

/** A whole small image under a tag; resolves with its manifest and digest. */
export async function pushImage(
  url: string,
  name: string,
  tag: string,
  part: Partial<ImageParts> = {},
): Promise<{ manifest: string; digest: string }> {
  const config = await pushBlob(url, name, "{}");
  const manifest = imageManifest({ config, layers: [], ...part });
  const reply = await putManifest(url, name, tag, manifest);
  expect(reply.status).toBe(201);
  return { manifest, digest: digestOf(manifest) };
}
