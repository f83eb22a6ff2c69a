// The errors of the way out. `temporary` is a property of the error: a temporary one may be covered by a cached tag.

export type UpstreamErrorCode =
  | "EgressRefused" // the policy forbids this address, scheme, redirect or realm
  | "Unreachable" // no connection: DNS, TCP, TLS
  | "Timeout" // connect, first byte or idle
  | "CircuitOpen" // it failed again and again; it is asked again shortly
  | "ServerError" // 5xx
  | "RateLimited" // 429, or the budget keeps what is left for pulls
  | "Denied" // 401 or 403 after all credentials
  | "CredentialsInvalid" // the Secret is missing or unreadable
  | "NotImplemented" // auth.provider other than generic
  | "Schema1" // a manifest of a form that no digest verifies
  | "UnexpectedAnswer" // HTML, a wrong type, a status nobody expects
  | "TooLarge" // more bytes than the cap
  | "Truncated" // fewer bytes than declared
  | "DigestMismatch"; // the bytes are not what was asked for

const temporaryCodes: ReadonlySet<UpstreamErrorCode> = new Set([
  "Unreachable",
  "Timeout",
  "CircuitOpen",
  "ServerError",
  "RateLimited",
  "UnexpectedAnswer",
  "Truncated",
]);

/** `message` names hosts and statuses, never a query string, a header or a body: those may hold secrets. */
export class UpstreamError extends Error {
  readonly code: UpstreamErrorCode;
  /** Seconds until it is worth asking again. */
  readonly retryAfter: number | undefined;

  constructor(code: UpstreamErrorCode, message: string, options: { cause?: unknown; retryAfter?: number } = {}) {
    super(message, { cause: options.cause });
    this.name = "UpstreamError";
    this.code = code;
    this.retryAfter = options.retryAfter;
  }

  /** It may be different in a moment, and says nothing about the content. */
  get temporary(): boolean {
    return temporaryCodes.has(this.code);
  }
}
