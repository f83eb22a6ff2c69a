// Referrers in pages (distribution spec, "Listing Referrers"): in digest order, and bounded in bytes rather than in number, since annotations
// are as long as whoever pushed them wished.

import type { Digest } from "../../../domain/digest.ts";
import type { Queryable } from "../../metadata/database.ts";
import { listReferrers } from "../../metadata/referrers.ts";
import type { Referrer, ReferrerPage, ReferrerSelection } from "./pull-service.ts";

/** Bytes of JSON. ORAS reads at most 4 MiB of an answer; the rest is for what the answer has around the descriptors. */
const pageBytes = 4 * 1024 * 1024 - 1024;
/** Bytes of annotations beyond which a descriptor is listed without them. They stay in the manifest. */
export const maxListedAnnotations = 64 * 1024;
/** Rows of one question, so that no page needs more memory than twice its bytes. */
const batchSize = 50;

/** Those that are stored here, in digest order. Asks for no more than is taken. */
export async function* storedReferrers(
  database: Queryable,
  repository: string,
  digest: Digest,
  { artifactType, after }: ReferrerSelection,
): AsyncGenerator<Referrer> {
  let last = after;
  for (;;) {
    const batch = { artifactType, after: last, limit: batchSize, maxAnnotations: maxListedAnnotations };
    const rows = await listReferrers(database, repository, digest, batch);
    for (const { artifactType: type, annotations, ...rest } of rows) {
      yield { ...rest, ...(type === null ? {} : { artifactType: type }), ...(annotations === null ? {} : { annotations }) };
    }
    if (rows.length < batchSize) return;
    last = rows.at(-1)?.digest;
  }
}

/** Two lists in digest order as one. What both have comes from `stored`: its bytes are here and were read. */
export async function* mergedReferrers(listed: readonly Referrer[], stored: AsyncIterable<Referrer>): AsyncGenerator<Referrer> {
  let next = 0;
  for await (const referrer of stored) {
    for (; next < listed.length && listed[next]!.digest < referrer.digest; next++) yield listed[next]!;
    if (listed[next]?.digest === referrer.digest) next++;
    yield referrer;
  }
  yield* listed.slice(next);
}

/** Takes from `referrers` until the page is full. A page has at least one, when there are any. */
export async function referrerPage(referrers: AsyncIterable<Referrer>, { hold }: Pick<ReferrerSelection, "hold">): Promise<ReferrerPage> {
  const page: Referrer[] = [];
  let bytes = 0;
  for await (const referrer of referrers) {
    bytes += Buffer.byteLength(JSON.stringify(referrer)) + 1;
    if (bytes > pageBytes && page.length > 0) return { referrers: page, more: true };
    hold?.(bytes);
    page.push(referrer);
  }
  return { referrers: page, more: false };
}
