// Bytes of the blob store that come free: a blob counts once, where its last holder goes, and not while anything kept holds it.

import type { Digest } from "../digest.ts";
import type { Facts, ManifestFact } from "./facts.ts";

export interface BlobHolders {
  /** Takes manifests away; bytes of the blobs that nothing holds now. */
  release(manifests: readonly ManifestFact[]): number;
}

export function holdersOf(facts: Pick<Facts, "repositories" | "heldElsewhere">): BlobHolders {
  const holders = new Map<Digest, number>();
  for (const { manifests } of facts.repositories) {
    for (const { blobs } of manifests) for (const { digest } of blobs) holders.set(digest, (holders.get(digest) ?? 0) + 1);
  }
  return {
    release(manifests) {
      let bytes = 0;
      for (const { blobs } of manifests) {
        for (const { digest, size } of blobs) {
          const left = (holders.get(digest) ?? 1) - 1;
          holders.set(digest, left);
          if (left === 0 && !facts.heldElsewhere.has(digest)) bytes += size;
        }
      }
      return bytes;
    },
  };
}
