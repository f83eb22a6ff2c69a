// Where attestations of a manifest are: cosign's tag `sha256-<hex>.att` beside the image, one DSSE envelope a layer (cosign specs/ATTESTATION_SPEC.md), and
// its referrers with Sigstore bundles (cosign specs/BUNDLE_SPEC.md). The registry lists as referrers what upstream's fallback tag `sha256-<hex>` names, too.

import { algorithmOf, hexOf, isDigest, type Digest } from "../../domain/digest.ts";
import { mediaTypes } from "../../domain/media-types.ts";
import { AttestationError } from "./failure.ts";
import { field, list, parseJson, text, type Json } from "./hostile-json.ts";
import { isBundleType } from "./signed-document.ts";

/** What discovery needs of a registry; RegistryClient is one. Digests are verified by it, errors are its own. */
export interface ContentSource {
  manifest(
    repository: string,
    reference: string,
    options?: { readonly revalidate?: boolean },
  ): Promise<{ readonly digest: Digest; readonly mediaType: string; readonly bytes: Uint8Array } | undefined>;
  /** `size`: as a manifest states it, where it is known. */
  blob(repository: string, digest: Digest, options: { readonly maxBytes: number; readonly size?: number }): Promise<Uint8Array>;
  /** What refers to a manifest, as it is listed. ClientError TooLarge for more than `max`. */
  referrers(repository: string, digest: Digest, options: { readonly max: number }): Promise<readonly ListedReferrer[]>;
}

export interface ListedReferrer {
  readonly digest: Digest;
  readonly artifactType?: string;
}

export interface AttachedDocument {
  readonly digest: Digest;
  readonly size: number;
  readonly form: "Envelope" | "Bundle";
  /** Of its layer: unsigned. */
  readonly annotations: Json | undefined;
  /** What an annotation says about the predicate: unsigned, so it only decides what is looked at first. */
  readonly hint: string | undefined;
  /** The manifest that lists it: kept with a version as its evidence. */
  readonly manifest: Digest;
}

export const maxDocuments = 50;
export const maxDocumentBytes = 32 * 1024 * 1024;
/** Referrers that are listed, whatever they are: SBOMs and signatures are among them. */
const maxReferrers = 1_000;

const limits = { maxDepth: 16, maxTokens: 20_000 };

/** The tag under which cosign keeps the attestations of `digest`. */
export function attestationTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}.att`;
}

/** The attestations attached to one manifest, in all forms. AttestationError SignatureMissing, TooManyDocuments. */
export async function findAttachments(source: ContentSource, repository: string, digest: Digest): Promise<readonly AttachedDocument[]> {
  const tagged = await findTagged(source, repository, digest);
  const referring = await findReferring(source, repository, digest);
  const documents = [...tagged, ...referring];
  if (documents.length > maxDocuments) throw tooMany(repository, digest, documents.length);
  if (documents.length > 0) return documents;
  const tag = attestationTag(digest);
  throw new AttestationError(
    "SignatureMissing",
    `${repository} has no attestation of ${digest}: no DSSE envelope at the tag ${tag}, and no referrer with a Sigstore bundle`,
  );
}

/** The bytes of one document. AttestationError DocumentTooLarge, DocumentMissing; the source's own errors otherwise. */
export async function fetchDocument(source: ContentSource, repository: string, { digest, size }: AttachedDocument): Promise<Uint8Array> {
  if (size > maxDocumentBytes) throw tooLarge(digest);
  try {
    return await source.blob(repository, digest, { maxBytes: maxDocumentBytes, size });
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "TooLarge") throw tooLarge(digest);
    if (code === "NotFound") throw new AttestationError("DocumentMissing", `${digest} is listed, and the registry does not have it`);
    throw error;
  }
}

async function findTagged(source: ContentSource, repository: string, digest: Digest): Promise<readonly AttachedDocument[]> {
  // Attestations arrive after the image, under a tag that cosign rewrites: only upstream's answer of now counts.
  const manifest = await source.manifest(repository, attestationTag(digest), { revalidate: true });
  return manifest === undefined ? [] : readManifest(manifest).documents;
}

async function findReferring(source: ContentSource, repository: string, digest: Digest): Promise<readonly AttachedDocument[]> {
  const listed = (await source.referrers(repository, digest, { max: maxReferrers })).filter(mayBeBundle);
  if (listed.length > maxDocuments) throw tooMany(repository, digest, listed.length);
  const documents: AttachedDocument[] = [];
  for (const referrer of listed) {
    const manifest = await source.manifest(repository, referrer.digest);
    if (manifest === undefined) continue;
    const attached = readManifest(manifest);
    // A fallback tag is a list that anybody may write: what counts is what the manifest says itself.
    if (attached.subject === digest) documents.push(...attached.documents);
  }
  return documents;
}

/** Some registries list another type than the manifest has, or none. */
function mayBeBundle({ artifactType }: ListedReferrer): boolean {
  return artifactType === undefined || artifactType === mediaTypes.ociEmpty || isBundleType(artifactType);
}

function tooLarge(digest: Digest): AttestationError {
  return new AttestationError("DocumentTooLarge", `${digest} is larger than ${maxDocumentBytes / 1024 / 1024} MiB`);
}

function tooMany(repository: string, digest: Digest, count: number): AttestationError {
  return new AttestationError(
    "TooManyDocuments",
    `${count} documents are attached to ${repository}@${digest}, at most ${maxDocuments} are read`,
  );
}

/** What cannot be read lists nothing. */
function readManifest({ digest: manifest, bytes }: { readonly digest: Digest; readonly bytes: Uint8Array }): {
  readonly subject: string | undefined;
  readonly documents: readonly AttachedDocument[];
} {
  const json = manifestJson(bytes);
  const subject = text(field(field(json, "subject"), "digest"));
  const hint = text(field(field(json, "annotations"), "dev.sigstore.bundle.predicateType"));
  const documents = list(field(json, "layers")).flatMap((layer) => {
    const digest = text(field(layer, "digest"));
    const size = field(layer, "size");
    const form = formOf(text(field(layer, "mediaType")));
    if (form === undefined || digest === undefined || !isDigest(digest) || typeof size !== "number") return [];
    const annotations = field(layer, "annotations");
    return [{ digest, size, form, annotations, hint: text(field(annotations, "predicateType")) ?? hint, manifest }];
  });
  return { subject, documents };
}

function manifestJson(bytes: Uint8Array): Json | undefined {
  try {
    return parseJson(bytes, limits);
  } catch {
    return undefined;
  }
}

function formOf(mediaType: string | undefined): AttachedDocument["form"] | undefined {
  if (mediaType === mediaTypes.dsse) return "Envelope";
  return mediaType !== undefined && isBundleType(mediaType) ? "Bundle" : undefined;
}
