// Where cosign leaves attestations: the tag `sha256-<hex>.att` beside the image, one DSSE envelope a layer (cosign specs/ATTESTATION_SPEC.md).

import { algorithmOf, hexOf, isDigest, type Digest } from "../../domain/digest.ts";
import { mediaTypes } from "../../domain/media-types.ts";
import { AttestationError } from "./failure.ts";
import { field, list, parseJson, text, type Json } from "./hostile-json.ts";

/** What discovery needs of a registry; RegistryClient is one. Digests are verified by it, errors are its own. */
export interface ContentSource {
  manifest(
    repository: string,
    reference: string,
    options?: { readonly revalidate?: boolean },
  ): Promise<{ readonly digest: Digest; readonly mediaType: string; readonly bytes: Uint8Array } | undefined>;
  blob(repository: string, digest: Digest, options: { readonly maxBytes: number }): Promise<Uint8Array>;
}

export interface AttachedDocument {
  readonly digest: Digest;
  readonly size: number;
  /** What an annotation says about the predicate: unsigned, so it only decides what is looked at first. */
  readonly hint: string | undefined;
}

export interface Attachments {
  /** The manifest that lists the documents: kept with a version as its evidence. */
  readonly manifest: Digest;
  readonly documents: readonly AttachedDocument[];
}

export const maxDocuments = 50;
export const maxDocumentBytes = 32 * 1024 * 1024;

const limits = { maxDepth: 16, maxTokens: 20_000 };

/** The tag under which cosign keeps the attestations of `digest`. */
export function attestationTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}.att`;
}

/** The attestations attached to one manifest. AttestationError SignatureMissing, TooManyDocuments. */
export async function findAttachments(source: ContentSource, repository: string, digest: Digest): Promise<Attachments> {
  const tag = attestationTag(digest);
  // Attestations arrive after the image, under a tag that cosign rewrites: only upstream's answer of now counts.
  const manifest = await source.manifest(repository, tag, { revalidate: true });
  if (manifest === undefined) throw new AttestationError("SignatureMissing", `${repository} has no tag ${tag}`);
  const documents = layersOf(manifest.bytes).flatMap(readLayer);
  if (documents.length === 0) throw new AttestationError("SignatureMissing", `${repository}:${tag} lists no DSSE envelope`);
  if (documents.length > maxDocuments) {
    throw new AttestationError(
      "TooManyDocuments",
      `${repository}:${tag} lists ${documents.length} documents, at most ${maxDocuments} are read`,
    );
  }
  return { manifest: manifest.digest, documents };
}

/** The bytes of one document. AttestationError DocumentTooLarge, DocumentMissing; the source's own errors otherwise. */
export async function fetchDocument(source: ContentSource, repository: string, { digest, size }: AttachedDocument): Promise<Uint8Array> {
  if (size > maxDocumentBytes) throw tooLarge(digest);
  try {
    return await source.blob(repository, digest, { maxBytes: maxDocumentBytes });
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "TooLarge") throw tooLarge(digest);
    if (code === "NotFound") throw new AttestationError("DocumentMissing", `${digest} is listed, and the registry does not have it`);
    throw error;
  }
}

function tooLarge(digest: Digest): AttestationError {
  return new AttestationError("DocumentTooLarge", `${digest} is larger than ${maxDocumentBytes / 1024 / 1024} MiB`);
}

function layersOf(bytes: Uint8Array): readonly Json[] {
  try {
    return list(field(parseJson(bytes, limits), "layers"));
  } catch (error) {
    throw new AttestationError("SignatureMissing", `the attestation manifest cannot be read: ${(error as Error).message}`);
  }
}

function readLayer(layer: Json): AttachedDocument[] {
  const digest = text(field(layer, "digest"));
  const size = field(layer, "size");
  if (text(field(layer, "mediaType")) !== mediaTypes.dsse || digest === undefined || !isDigest(digest) || typeof size !== "number")
    return [];
  return [{ digest, size, hint: text(field(field(layer, "annotations"), "predicateType")) }];
}
