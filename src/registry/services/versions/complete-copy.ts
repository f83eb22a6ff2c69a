// `copy: Image`: what is held is whole (design: tag-sync, point 7).

import { isDigest, type Digest } from "../../../domain/digest.ts";
import { blobsOf, parseManifest } from "../../../domain/manifest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { lockClosure, type MissingContent } from "../../metadata/proposal-pins.ts";
import { ServiceError } from "../errors.ts";

export interface CompleteCopy {
  readonly manifests: readonly Digest[];
  /** Layers that are not distributable, and not here. */
  readonly absent: readonly Digest[];
}

/** Locks the image with all that it names, and its evidence. ServiceError CONFLICT with the digests that are missing. */
export async function completeCopy(
  transaction: Queryable,
  repository: number,
  { digest, evidence }: { readonly digest: Digest; readonly evidence: readonly Digest[] },
): Promise<CompleteCopy> {
  const closure = await lockClosure(transaction, repository, [digest, ...evidence]);
  const required = closure.missing.filter(isRequired).map((content) => content.digest);
  if (required.length > 0) {
    const missing = [...new Set(required)].filter(isDigest).sort();
    throw new ServiceError(
      "CONFLICT",
      `The copy of ${digest} is incomplete: ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? " …" : ""}. Prefetch it again.`,
      { detail: { missing } },
    );
  }
  return { manifests: closure.manifests, absent: closure.missing.map((content) => content.digest) };
}

function isRequired({ digest, namedBy }: MissingContent): boolean {
  if (namedBy === null) return true;
  return blobsOf(parseManifest(namedBy.bytes, namedBy.mediaType)).find((blob) => blob.digest === digest)?.required ?? true;
}
