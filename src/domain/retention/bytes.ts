// Bytes of the blob store that come free: a blob counts once, where the last manifest that holds it goes.

import type { Digest } from "../digest.ts";
import type { FreeableBlobs } from "./facts.ts";

export interface Going {
  readonly repository: string;
  readonly manifest: Digest;
}

/** Told which manifests may go at all; then `release` takes some of them away and says how many bytes nothing holds now. */
export function holdersOf(going: readonly Going[], blobsOf: FreeableBlobs): (manifests: readonly Going[]) => number {
  const holders = new Map<Digest, number>();
  for (const { repository, manifest } of going) {
    for (const { digest } of blobsOf(repository, manifest)) holders.set(digest, (holders.get(digest) ?? 0) + 1);
  }
  return (manifests) => {
    let bytes = 0;
    for (const { repository, manifest } of manifests) {
      for (const { digest, size } of blobsOf(repository, manifest)) {
        const left = (holders.get(digest) ?? 1) - 1;
        holders.set(digest, left);
        if (left === 0) bytes += size;
      }
    }
    return bytes;
  };
}
