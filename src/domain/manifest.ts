// Manifests and indexes as the OCI image spec and Docker's schema 2 write them, read from untrusted bytes.
// One document means one thing: what is a manifest to one client and an index to another is refused (advisory GHSA-qq97-vm5h-rrhg), and so
// are keys that clients read differently.

import { digestOf, isDigest, type Digest, algorithmOf } from "./digest.ts";
import { measureJson } from "./json-limits.ts";
import { refuseAmbiguousKeys } from "./manifest-keys.ts";
import { mediaTypes } from "./media-types.ts";

/** Distribution spec, "Pushing Manifests": registries take at least 4 MiB. That is also the most that this one takes, from clients and upstreams. */
export const maxManifestBytes = 4 * 1024 * 1024;
export const maxDescriptors = 1_000;
const maxJsonDepth = 32;
/** Fifty for each of the most descriptors. Half a million fit into 4 MiB, and nobody else is answered for a second while they are read. */
const maxJsonValues = 50_000;
const maxTypeLength = 255;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ChildDescriptor extends Descriptor {
  /** As it is written, for people and selection; undefined when there is none. */
  readonly platform?: unknown;
}

interface Common {
  /** Without parameters. */
  readonly mediaType: string;
  readonly subject?: Descriptor;
  /** What the referrers API says: `artifactType`, for images without one the config's media type. */
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageManifest extends Common {
  readonly kind: "image";
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageIndex extends Common {
  readonly kind: "index";
  readonly manifests: readonly ChildDescriptor[];
}

export type Manifest = ImageManifest | ImageIndex;

/** Not a manifest that can be stored; `message` says what is wrong with it. */
export class ManifestError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ManifestError";
  }
}

/** A manifest in Docker's schema 1. */
export class Schema1Error extends ManifestError {}

const kinds: ReadonlyMap<string, Manifest["kind"]> = new Map([
  [mediaTypes.ociManifest, "image"],
  [mediaTypes.dockerManifest, "image"],
  [mediaTypes.ociIndex, "index"],
  [mediaTypes.dockerManifestList, "index"],
]);
const schema1: ReadonlySet<string> = new Set([mediaTypes.dockerSchema1, mediaTypes.dockerSchema1Signed]);

/** Docker's manifests before 2016: their digest is not that of their bytes. */
export function isSchema1(mediaType: string): boolean {
  return schema1.has(mediaType);
}

/** True for types whose documents are stored as manifests; everything else that an index names is a blob. */
function isManifestType(mediaType: string): boolean {
  return kinds.has(mediaType);
}

/** Layers that a registry need not have (image spec, "Non-Distributable Layers"; Docker's foreign layers). */
function isNonDistributable(mediaType: string): boolean {
  return (
    mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.v1.") ||
    mediaType.startsWith("application/vnd.docker.image.rootfs.foreign.diff.")
  );
}

/**
 * Reads a manifest. `contentType` is the header it came with; undefined: the document's own `mediaType` decides.
 * Throws ManifestError.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const declared = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  if (declared !== undefined && isSchema1(declared)) refuseSchema1();
  const document = parseDocument(bytes);
  if (document.schemaVersion === 1) refuseSchema1();
  if (document.schemaVersion !== 2) throw new ManifestError("`schemaVersion` must be 2.");
  const mediaType = typeOf(document, declared);
  const common: Common = {
    mediaType,
    subject: optional(document.subject, (value) => descriptorOf(value, "subject")),
    annotations: annotationsOf(document.annotations, "annotations"),
  };
  const artifactType = optional(document.artifactType, (value) => typeName(value, "artifactType"));
  return kinds.get(mediaType) === "index" ? indexOf(document, common, artifactType) : imageOf(document, common, artifactType);
}

/** Every blob that `manifest` names, once each, and whether a registry must have it. Children that are no manifests are blobs (BuildKit's cache). */
export function blobsOf(manifest: Manifest): readonly (Descriptor & { readonly required: boolean })[] {
  const named =
    manifest.kind === "image"
      ? [manifest.config, ...manifest.layers].map((blob) => ({ ...blob, required: !isNonDistributable(blob.mediaType) }))
      : manifest.manifests.filter(({ mediaType }) => !isManifestType(mediaType)).map((blob) => ({ ...blob, required: false }));
  return unique(named);
}

/** Every manifest that `manifest` names, once each. */
export function childrenOf(manifest: Manifest): readonly ChildDescriptor[] {
  return manifest.kind === "image" ? [] : unique(manifest.manifests.filter(({ mediaType }) => isManifestType(mediaType)));
}

type Json = Readonly<Record<string, unknown>>;

function imageOf(document: Json, common: Common, artifactType: string | undefined): ImageManifest {
  if (document.manifests !== undefined || document.fsLayers !== undefined) throw mixed(common.mediaType, "manifests");
  const config = descriptorOf(document.config, "config");
  const layers = listOf(document.layers, "layers").map((value, index) => descriptorOf(value, `layers[${index}]`));
  return { ...common, kind: "image", config, layers, artifactType: artifactType ?? config.mediaType };
}

function indexOf(document: Json, common: Common, artifactType: string | undefined): ImageIndex {
  for (const field of ["config", "layers", "fsLayers"]) if (document[field] !== undefined) throw mixed(common.mediaType, field);
  const manifests = listOf(document.manifests, "manifests").map((value, index) => ({
    ...descriptorOf(value, `manifests[${index}]`),
    platform: (value as Json).platform,
  }));
  return { ...common, kind: "index", manifests, artifactType };
}

function parseDocument(bytes: Uint8Array): Json {
  try {
    measureJson(bytes, { maxDepth: maxJsonDepth, maxTokens: maxJsonValues });
  } catch (cause) {
    throw new ManifestError(`The manifest is ${(cause as Error).message}.`, { cause });
  }
  let text: string;
  try {
    // A byte order mark stays, and is refused below: many clients cannot read what begins with one.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ManifestError("The manifest is not UTF-8 text.", { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ManifestError(`The manifest is not JSON: ${(cause as Error).message}`, { cause });
  }
  try {
    refuseAmbiguousKeys(text);
  } catch (cause) {
    throw new ManifestError(`The manifest ${(cause as Error).message}.`, { cause });
  }
  return objectOf(value, "The manifest");
}

function typeOf(document: Json, declared: string | undefined): string {
  const own = optional(document.mediaType, (value) => typeName(value, "mediaType"));
  const mediaType = declared ?? own;
  if (mediaType === undefined) throw new ManifestError("The manifest needs a Content-Type header.");
  if (!kinds.has(mediaType)) {
    throw new ManifestError(`Manifests of type ${quoted(mediaType)} are not stored here. Use one of: ${[...kinds.keys()].join(", ")}.`);
  }
  if (own === undefined && mediaType.startsWith("application/vnd.docker.")) {
    throw new ManifestError("A Docker manifest must say its `mediaType`.");
  }
  if (own !== undefined && own !== mediaType) {
    throw new ManifestError(`The Content-Type is ${mediaType} but the manifest says \`mediaType\` ${quoted(own)}. They must be equal.`);
  }
  return mediaType;
}

function descriptorOf(value: unknown, where: string): Descriptor {
  const fields = objectOf(value, `\`${where}\``);
  const { digest, size } = fields;
  const mediaType = typeName(fields.mediaType, `${where}.mediaType`);
  if (typeof digest !== "string" || !isDigest(digest)) {
    throw new ManifestError(`\`${where}.digest\` must be sha256: or sha512: with lower-case hexadecimal digits.`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new ManifestError(`\`${where}.size\` must be a whole number of bytes.`);
  }
  checkData(fields.data, { digest, size }, where);
  return {
    mediaType,
    digest,
    size,
    artifactType: optional(fields.artifactType, (type) => typeName(type, `${where}.artifactType`)),
    annotations: annotationsOf(fields.annotations, `${where}.annotations`),
  };
}

/** Image spec, descriptor: `data` must be the content itself. */
function checkData(data: unknown, descriptor: { readonly digest: Digest; readonly size: number }, where: string): void {
  if (data === undefined) return;
  const bytes = typeof data === "string" ? Buffer.from(data, "base64") : undefined;
  if (bytes?.byteLength === descriptor.size && digestOf(bytes, algorithmOf(descriptor.digest)) === descriptor.digest) return;
  throw new ManifestError(`\`${where}.data\` is not the base64 of the content that the descriptor names.`);
}

function annotationsOf(value: unknown, where: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  const entries = Object.entries(objectOf(value, `\`${where}\``));
  const wrong = entries.find(([, text]) => typeof text !== "string");
  if (wrong !== undefined) throw new ManifestError(`\`${where}\` must be texts; ${quoted(wrong[0])} is not.`);
  return Object.fromEntries(entries as [string, string][]);
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ManifestError(`\`${where}\` must be a list.`);
  if (value.length > maxDescriptors)
    throw new ManifestError(`\`${where}\` has ${value.length} entries; at most ${maxDescriptors} are stored.`);
  return value as unknown[];
}

function objectOf(value: unknown, where: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ManifestError(`${where} must be an object.`);
  return value as Json;
}

function typeName(value: unknown, where: string): string {
  const wrong = typeof value !== "string" || value === "" || value.length > maxTypeLength || /[\u0000-\u001f\u007f]/.test(value);
  if (wrong) throw new ManifestError(`\`${where}\` must be a media type.`);
  return value;
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null || value === "" ? undefined : read(value);
}

function unique<T extends Descriptor>(descriptors: readonly T[]): readonly T[] {
  return [...new Map(descriptors.toReversed().map((descriptor) => [descriptor.digest, descriptor])).values()].reverse();
}

function mixed(mediaType: string, field: string): ManifestError {
  return new ManifestError(`A document of type ${mediaType} must not have \`${field}\`: it would be two things at once.`);
}

function refuseSchema1(): never {
  throw new Schema1Error(
    "Docker image manifest schema 1 is not stored here; it cannot be verified by digest. Push with Docker 1.10 or newer, or convert it: skopeo copy --format v2s2.",
  );
}

/** For messages: short, control characters escaped. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
