// The manifests of an image whose evidence counts: the index and its platforms, or the one image.

import type { Digest } from "../domain/digest.ts";
import { ManifestError, parseManifest, type ChildDescriptor, type Manifest } from "../domain/manifest.ts";
import type { ContentSource } from "./attestation/discovery.ts";
import { field, parseJson, text } from "./attestation/hostile-json.ts";
import { SyncFailure } from "./sync-failure.ts";

export interface ImagePart {
  /** os/architecture[/variant]; undefined for an index. */
  readonly platform: string | undefined;
  readonly digest: Digest;
}

export interface ImageParts {
  readonly root: ImagePart;
  /** Of an index, those that must agree. */
  readonly platforms: readonly ImagePart[];
}

const maxConfigBytes = 4 * 1024 * 1024;

/** `wanted`: spec.platforms; empty: all of the index. Rejects with SyncFailure; the source's errors pass through. */
export async function partsOf(source: ContentSource, repository: string, digest: Digest, wanted: readonly string[]): Promise<ImageParts> {
  const fetched = await source.manifest(repository, digest);
  if (fetched === undefined) throw new SyncFailure("ManifestMissing", `${repository}@${digest} is gone upstream`);
  const manifest = read(fetched.bytes, fetched.mediaType);
  if (manifest.kind === "image") {
    const platform = await platformOfImage(source, repository, manifest.config.digest);
    return { root: { platform, digest }, platforms: [] };
  }
  const all = manifest.manifests.flatMap(readPart);
  const missing = wanted.find((name) => !all.some((part) => isPlatform(part, name)));
  if (missing !== undefined)
    throw new SyncFailure("PlatformMissing", `the index has no ${missing}; it has ${all.map(({ platform }) => platform).join(", ")}`);
  const platforms = wanted.length === 0 ? all : all.filter((part) => wanted.some((name) => isPlatform(part, name)));
  return { root: { platform: undefined, digest }, platforms };
}

function read(bytes: Uint8Array, mediaType: string): Manifest {
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    if (error instanceof ManifestError) throw new SyncFailure("ManifestInvalid", error.message);
    throw error;
  }
}

/** BuildKit lists its attestations as manifests for unknown/unknown. */
function readPart({ digest, platform }: ChildDescriptor): ImagePart[] {
  const { os, architecture, variant } = (platform ?? {}) as { os?: unknown; architecture?: unknown; variant?: unknown };
  const parts = [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])];
  const name = parts.map(String).join("/").toLowerCase();
  if (os === "unknown" || !isPlatformName(name)) return [];
  return [{ platform: name, digest }];
}

/** `linux/arm64` means linux/arm64/v8 too. */
function isPlatform({ platform }: ImagePart, wanted: string): boolean {
  return platform === wanted || platform?.startsWith(`${wanted}/`) === true;
}

/** For the ledger alone: an image that does not say is not refused for it. */
async function platformOfImage(source: ContentSource, repository: string, config: Digest): Promise<string | undefined> {
  const bytes = await source.blob(repository, config, { maxBytes: maxConfigBytes });
  try {
    const json = parseJson(bytes, { maxDepth: 32, maxTokens: 200_000 });
    const name = [field(json, "os"), field(json, "architecture")].map((value) => text(value) ?? "").join("/");
    return isPlatformName(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

function isPlatformName(name: string): boolean {
  return name.length <= 100 && /^[a-z0-9._-]+(?:\/[a-z0-9._-]+){1,2}$/.test(name);
}
