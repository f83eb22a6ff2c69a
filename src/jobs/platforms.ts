// The manifests of an image whose evidence counts: the index and its platforms, or the one image.

import type { Digest } from "../domain/digest.ts";
import { ManifestError, parseManifest, type ChildDescriptor, type Manifest } from "../domain/manifest.ts";
import type { ContentSource } from "./attestation/discovery.ts";
import { field, parseJson, text } from "./attestation/hostile-json.ts";
import { SyncFailure } from "./sync-failure.ts";

export interface ImagePart {
  /** os/architecture[/variant] as it is written, in small letters; undefined for an index, and for what does not say. */
  readonly platform: string | undefined;
  readonly digest: Digest;
}

export interface ImageParts {
  readonly root: ImagePart;
  /** Of an index, those that must agree: at most 100. */
  readonly platforms: readonly ImagePart[];
}

const maxConfigBytes = 4 * 1024 * 1024;
/** As many as a version records (registry/services/versions/mint-checks.ts). Each is looked at. */
const maxPlatforms = 100;

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
  if (missing !== undefined) {
    const named = all.map(({ platform }) => platform).filter((name) => name !== undefined);
    throw new SyncFailure("PlatformMissing", `the index has no ${missing}; it has ${named.join(", ")}`);
  }
  // What does not say what it is for may be what a node takes, whichever that is.
  const platforms =
    wanted.length === 0 ? all : all.filter((part) => part.platform === undefined || wanted.some((name) => isPlatform(part, name)));
  if (platforms.length > maxPlatforms)
    throw new SyncFailure("ManifestInvalid", `the index has ${platforms.length} platforms; at most ${maxPlatforms} are looked at`);
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

/**
 * BuildKit lists its attestations as manifests for unknown/unknown, which no node runs. Nothing else is passed over: containerd takes an entry without an
 * operating system, or without a platform, for one of its own.
 */
function readPart({ digest, platform }: ChildDescriptor): ImagePart[] {
  const { os, architecture, variant } = (platform ?? {}) as { os?: unknown; architecture?: unknown; variant?: unknown };
  if (os === "unknown" && architecture === "unknown") return [];
  const parts = [os, architecture, ...(variant === undefined || variant === null || variant === "" ? [] : [variant])];
  const name = parts.map((part) => (typeof part === "string" ? part.toLowerCase() : "")).join("/");
  return [{ platform: isPlatformName(name) ? name : undefined, digest }];
}

/** `linux/arm64` means linux/arm64/v8 too, and what nodes take for it. */
function isPlatform({ platform }: ImagePart, wanted: string): boolean {
  if (platform === undefined) return false;
  const [found, named] = [spellingOf(platform), spellingOf(wanted)];
  const same = found.os === named.os && found.architecture === named.architecture;
  return same && (named.variant === undefined || variantOf(found) === variantOf(named));
}

/** What nodes take for another architecture (containerd/platforms, `Normalize`), and the variant that such a name means. */
const aliases = new Map<string, readonly [architecture: string, variant?: string]>([
  ["x86_64", ["amd64"]],
  ["x86-64", ["amd64"]],
  ["i386", ["386"]],
  ["aarch64", ["arm64"]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
]);
const usualVariants: ReadonlyMap<string, string> = new Map([
  ["amd64", "v1"],
  ["arm64", "v8"],
  ["arm", "v7"],
]);

interface Spelling {
  readonly os: string | undefined;
  readonly architecture: string;
  readonly variant: string | undefined;
}

function spellingOf(name: string): Spelling {
  const [os, written = "", stated] = name.split("/");
  const [architecture, meant] = aliases.get(written) ?? [written, undefined];
  return { os, architecture, variant: meant ?? stated?.replace(/^(?=\d)/, "v") };
}

function variantOf({ architecture, variant }: Spelling): string | undefined {
  return variant ?? usualVariants.get(architecture);
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
