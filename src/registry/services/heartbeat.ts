import { givenUp } from "./commit-blob.ts";

const minute = 60_000;

/**
 * A function to call at every piece of a body: once a minute it says in the database that somebody still writes, so that G3 leaves the bytes
 * alone. Throws BLOB_UPLOAD_UNKNOWN when they were given up meanwhile. `beat` resolves with false then.
 */
export function heartbeat(beat: () => Promise<boolean>, options: { readonly every?: number } = {}): () => Promise<void> {
  const every = options.every ?? minute;
  let last = performance.now();
  return async () => {
    if (performance.now() - last < every) return;
    last = performance.now();
    if (!(await beat())) throw givenUp();
  };
}
