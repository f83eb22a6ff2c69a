// The errors of the services. `http/errors.ts` has the one table from code to status.

export { DatabaseUnavailable, type UnavailableReason } from "../metadata/unavailable.ts";

export type ServiceErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "RANGE_INVALID" // 416
  | "PAYLOAD_TOO_LARGE" // 413
  | "INSUFFICIENT_STORAGE" // 507
  | "UNAVAILABLE" // 503, with retryAfter
  | "UPSTREAM_FAILED" // 502: the registry behind a prefix answered nonsense or not at all
  | "CONFLICT" // 409, control API
  | "INVALID" // 400, control API
  | "NOT_FOUND"; // 404, control API

/** An answer that is not success. `message` is for the person who reads it and says what to do. */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode;
  readonly detail: unknown;
  /** Seconds, for Retry-After. */
  readonly retryAfter: number | undefined;

  constructor(code: ServiceErrorCode, message: string, options: { detail?: unknown; retryAfter?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "ServiceError";
    this.code = code;
    this.detail = options.detail;
    this.retryAfter = options.retryAfter;
  }
}
