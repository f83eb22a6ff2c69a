// Pulling (distribution spec, "Pull"): manifests, blobs and their ranges, referrers.

import type { OutgoingHttpHeaders } from "node:http";

import { lostBlobsHeader } from "../../../api/control/protocol.ts";
import { parseDigest, type Digest } from "../../../domain/digest.ts";
import { headers, mediaTypes } from "../../../domain/media-types.ts";
import { parseRange } from "../../../domain/ranges.ts";
import { ServiceError } from "../../services/errors.ts";
import type { ReferrerPage } from "../../services/pull/pull-service.ts";
import { emptyAnswer, failureAnswer, jsonAnswer, type Answer } from "../answer.ts";
import { contentHeaders, isUnchanged, rangeCounts } from "./conditional.ts";
import { HttpError } from "../errors.ts";
import type { PathOf, RepositoryExchange } from "./exchange.ts";
import { nextLink, type Hold } from "./listing-routes.ts";

export async function getManifest({ method, path, headers, repository, caller }: RepositoryExchange<PathOf<"manifest">>): Promise<Answer> {
  const manifest = await repository.pull.manifest(repository.name, path.reference, caller, { head: method === "HEAD" });
  const fields: OutgoingHttpHeaders = {
    ...contentHeaders(manifest.digest, { byDigest: "digest" in path.reference }),
    ...(manifest.lostBlobs === undefined ? {} : { [lostBlobsHeader]: manifest.lostBlobs }),
    ...(manifest.warning === undefined ? {} : { warning: manifest.warning }),
  };
  if (isUnchanged(headers["if-none-match"], manifest.digest)) return emptyAnswer(304, fields);
  return { status: 200, headers: { ...fields, "content-type": manifest.mediaType }, body: manifest.bytes };
}

export async function getBlob(exchange: RepositoryExchange<PathOf<"blob">>): Promise<Answer> {
  const { method, path, headers, repository, caller } = exchange;
  const blob = await repository.pull.blob(repository.name, path.digest, caller, { head: method === "HEAD", gone: exchange.gone() });
  const fields = contentHeaders(blob.digest, { byDigest: true });
  if (isUnchanged(headers["if-none-match"], blob.digest)) return emptyAnswer(304, fields);
  const range =
    rangeCounts(headers["if-range"]?.toString(), blob.digest) && method === "GET" ? parseRange(headers.range, blob.size) : whole;
  if (range.kind === "unsatisfiable") return unsatisfiable(blob.size);
  const start = range.kind === "part" ? range.start : 0;
  const length = range.kind === "part" ? range.end - range.start + 1 : blob.size;
  const answer: Answer = {
    status: range.kind === "part" ? 206 : 200,
    headers: {
      ...fields,
      "accept-ranges": "bytes",
      "content-type": mediaTypes.octetStream,
      "content-length": length,
      ...(range.kind === "part" ? { "content-range": `bytes ${range.start}-${range.end}/${blob.size}` } : {}),
    },
  };
  if (method === "HEAD" || length === 0) return answer;
  // Who asks for a part has begun here, and some clients repeat the range nowhere else.
  const elsewhere = headers.range === undefined ? await blob.link?.() : undefined;
  if (elsewhere !== undefined) return redirected(elsewhere, blob.digest);
  const reader = await blob.open(range.kind === "part" ? { start, end: start + length } : undefined);
  return { ...answer, body: { reader, start, length } };
}

const whole = { kind: "whole" } as const;

/** The address is good for some minutes: nobody may keep it for longer than the blob. */
function redirected(location: string, digest: Digest): Answer {
  return emptyAnswer(307, { location, [headers.contentDigest]: digest, "cache-control": "no-store" });
}

function unsatisfiable(size: number): Answer {
  const refused = failureAnswer(new ServiceError("RANGE_INVALID", `The range begins behind the end: the blob has ${size} bytes.`));
  return { ...refused, headers: { ...refused.headers, "content-range": `bytes */${size}` } };
}

/** Never 404: clients take that for a registry without this API, for good. */
export async function getReferrers(
  { path, query, repository, caller }: RepositoryExchange<PathOf<"referrers">>,
  hold: Hold,
): Promise<Answer> {
  const artifactType = query.get("artifactType") ?? undefined;
  // No manifest has such a type, and the database refuses the question.
  if (artifactType?.includes("\0") === true) return referrersAnswer([], { filtered: true });
  const filter: Record<string, string> = artifactType === undefined ? {} : { artifactType };
  const after = lastOf(query);
  const selection = { ...filter, ...(after === undefined ? {} : { after }), hold };
  const { referrers, more } = await repository.pull.referrers(repository.name, path.digest, caller, selection).catch(noneWhenUnknown);
  const answer = referrersAnswer(referrers, { filtered: artifactType !== undefined });
  const last = referrers.at(-1)?.digest;
  if (!more || last === undefined) return answer;
  const link = nextLink(`/v2/${path.name}/referrers/${path.digest}`, query, { last, ...filter });
  return { ...answer, headers: { ...answer.headers, ...link } };
}

/** `filtered`: an artifactType was asked for and applied. */
export function referrersAnswer(manifests: readonly unknown[], options: { filtered: boolean }): Answer {
  return jsonAnswer(
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    { mediaType: mediaTypes.ociIndex, headers: options.filtered ? { [headers.ociFiltersApplied]: "artifactType" } : {} },
  );
}

function lastOf(query: URLSearchParams): Digest | undefined {
  const text = query.get("last") ?? "";
  const last = parseDigest(text);
  if (last !== undefined || text === "") return last;
  throw new HttpError("PAGINATION_NUMBER_INVALID", "last is not a digest of this list: take it from the Link of the page before.");
}

function noneWhenUnknown(error: unknown): ReferrerPage {
  if (error instanceof ServiceError && (error.code === "NAME_UNKNOWN" || error.code === "MANIFEST_UNKNOWN")) {
    return { referrers: [], more: false };
  }
  throw error;
}
