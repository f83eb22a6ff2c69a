// Documents in turn: images are looked at a few at a time, and their largest documents, with what it takes to read them, are together more than a Pod has.

import { ClientError } from "../client/errors.ts";
import type { ContentSource } from "./attestation/discovery.ts";

/** Bytes of a document that is fetched beside others. */
const small = 1024 * 1024;

/** The same source, from which one document at a time is fetched of those that are large, whatever their manifests say. */
export function largeInTurn(source: ContentSource): ContentSource {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };
  return {
    manifest: (...question) => source.manifest(...question),
    referrers: (...question) => source.referrers(...question),
    blob: async (repository, digest, { maxBytes, size = 0 }) => {
      if (size <= small) {
        try {
          return await source.blob(repository, digest, { maxBytes: Math.min(small, maxBytes), size });
        } catch (error) {
          if (!(error instanceof ClientError) || error.code !== "TooLarge") throw error;
        }
      }
      // What is made of the bytes is made at once, before the next one's come.
      return inTurn(() => source.blob(repository, digest, { maxBytes, size }));
    },
  };
}
