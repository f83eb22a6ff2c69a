// The one table from error code to status and to the code that clients know (distribution spec, "Error Codes").

import { BlobStoreError } from "../blobs/blob-store.ts";
import { DatabaseUnavailable, ServiceError, type ServiceErrorCode, type UnavailableReason } from "../services/errors.ts";

/** What only HTTP can get wrong. */
export type HttpErrorCode =
  | "BODY_STALLED"
  | "CONTENT_ENCODING"
  | "ENDPOINT_UNKNOWN"
  | "HOST_UNKNOWN"
  | "MANIFEST_LATE"
  | "METHOD_NOT_ALLOWED"
  | "NOT_READY"
  | "PAGINATION_NUMBER_INVALID"
  | "REQUEST_INVALID"
  | "REQUEST_STALLED"
  | "REQUEST_TOO_LARGE";

/** A request that HTTP refuses before a service sees it. */
export class HttpError extends Error {
  readonly code: HttpErrorCode;
  /** Extra headers of the answer, for example Allow. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: HttpErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "HttpError";
    this.code = code;
    this.headers = headers;
  }
}

interface Row {
  readonly status: number;
  /** Code on the wire: those of the distribution spec, else those that distribution itself uses. */
  readonly code: string;
}

const row = (status: number, code: string): Row => ({ status, code });

const table: Readonly<Record<ServiceErrorCode | HttpErrorCode, Row>> = {
  BLOB_UNKNOWN: row(404, "BLOB_UNKNOWN"),
  BLOB_UPLOAD_INVALID: row(400, "BLOB_UPLOAD_INVALID"),
  BLOB_UPLOAD_UNKNOWN: row(404, "BLOB_UPLOAD_UNKNOWN"),
  DIGEST_INVALID: row(400, "DIGEST_INVALID"),
  MANIFEST_BLOB_UNKNOWN: row(404, "MANIFEST_BLOB_UNKNOWN"),
  MANIFEST_INVALID: row(400, "MANIFEST_INVALID"),
  MANIFEST_UNKNOWN: row(404, "MANIFEST_UNKNOWN"),
  NAME_INVALID: row(400, "NAME_INVALID"),
  NAME_UNKNOWN: row(404, "NAME_UNKNOWN"),
  SIZE_INVALID: row(400, "SIZE_INVALID"),
  UNAUTHORIZED: row(401, "UNAUTHORIZED"),
  DENIED: row(403, "DENIED"),
  UNSUPPORTED: row(405, "UNSUPPORTED"),
  TOOMANYREQUESTS: row(429, "TOOMANYREQUESTS"),
  RANGE_INVALID: row(416, "RANGE_INVALID"),
  PAYLOAD_TOO_LARGE: row(413, "SIZE_INVALID"),
  INSUFFICIENT_STORAGE: row(507, "UNAVAILABLE"),
  UNAVAILABLE: row(503, "UNAVAILABLE"),
  UPSTREAM_FAILED: row(502, "UNAVAILABLE"),
  CONFLICT: row(409, "CONFLICT"),
  INVALID: row(400, "INVALID"),
  NOT_FOUND: row(404, "NOT_FOUND"),

  BODY_STALLED: row(408, "BLOB_UPLOAD_INVALID"),
  CONTENT_ENCODING: row(415, "UNSUPPORTED"),
  // Not NAME_UNKNOWN: oras would take that for a missing repository.
  ENDPOINT_UNKNOWN: row(404, "UNSUPPORTED"),
  HOST_UNKNOWN: row(421, "DENIED"),
  MANIFEST_LATE: row(408, "MANIFEST_INVALID"),
  METHOD_NOT_ALLOWED: row(405, "UNSUPPORTED"),
  NOT_READY: row(503, "UNAVAILABLE"),
  PAGINATION_NUMBER_INVALID: row(400, "PAGINATION_NUMBER_INVALID"),
  REQUEST_INVALID: row(400, "INVALID"),
  REQUEST_STALLED: row(408, "INVALID"),
  REQUEST_TOO_LARGE: row(413, "INVALID"),
};

/** A refusal as it goes over the wire. */
export interface Failure {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly errors: readonly { readonly code: string; readonly message: string; readonly detail?: unknown }[] };
  /** Nobody foresaw it: the log gets the error, the client a plain sentence. */
  readonly unexpected: boolean;
}

/** Turns whatever was thrown into an answer. Unforeseen errors never show their message. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof ServiceError) return describeServiceError(error);
  if (error instanceof HttpError) {
    const { status, code } = table[error.code];
    return { status, headers: error.headers, body: errorBody(code, error.message), unexpected: false };
  }
  if (error instanceof DatabaseUnavailable) return later(sentences[error.reason] ?? unreachable);
  if (isLostDependency(error) || (error instanceof BlobStoreError && error.code === "Unavailable")) return later(unreachable);
  if (isContended(error)) return later(contended);
  return {
    status: 500,
    headers: {},
    body: errorBody("UNKNOWN", "The registry failed in a way nobody foresaw; its log says more."),
    unexpected: true,
  };
}

const unreachable = "The registry cannot reach its own database or storage at the moment. Try again shortly.";
const contended = "Other requests write the same at this moment; this one gave way and changed nothing. Try again shortly.";
const sentences: Partial<Readonly<Record<UnavailableReason, string>>> = {
  BUSY: "The registry's database has no room for more requests at the moment. Try again shortly.",
  TIMEOUT: "The registry's database took too long. Try again shortly.",
  LOCKED: contended,
  OUTCOME_UNKNOWN: "The registry cannot say yet whether this was done. Repeat it: doing it twice does no harm.",
};

/** The log gets the error. */
function later(message: string): Failure {
  return { status: 503, headers: { "retry-after": "1" }, body: errorBody("UNAVAILABLE", message), unexpected: true };
}

export function errorBody(code: string, message: string, detail?: unknown): Failure["body"] {
  return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
}

function describeServiceError(error: ServiceError): Failure {
  const { status, code } = table[error.code];
  const retryAfter = error.retryAfter ?? (status === 503 || status === 429 ? 1 : undefined);
  return {
    status,
    headers: retryAfter === undefined ? {} : { "retry-after": String(Math.max(0, Math.ceil(retryAfter))) },
    body: errorBody(code, error.message, error.detail),
    unexpected: false,
  };
}

/** The blob store: connection refused or lost. */
function isLostDependency(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" && /^E(?:CONNREFUSED|CONNRESET|PIPE|TIMEDOUT|HOSTUNREACH)$/.test(code);
}

/** deadlock_detected and serialization_failure (also TagMoved) that outlived the retries of the transaction. */
function isContended(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "40P01" || code === "40001";
}
