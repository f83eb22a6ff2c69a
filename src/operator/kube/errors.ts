// What the API server answers instead of what was asked for.

import { readRetryAfter } from "../../domain/retry-after.ts";

export class KubeError extends Error {
  override readonly name = "KubeError";
  /** HTTP status; 0: no answer came. */
  readonly status: number;
  /** Kubernetes' own word: `Conflict`, `AlreadyExists`, `Expired`. */
  readonly reason: string;
  /** Milliseconds until it may be asked again, where the server says so. */
  readonly retryAfter: number | undefined;

  constructor(status: number, message: string, options: { reason?: string; retryAfter?: number | undefined; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = status;
    this.reason = options.reason ?? "";
    this.retryAfter = options.retryAfter;
  }

  /** The server has forgotten the version that was named. */
  get expired(): boolean {
    return this.status === 410;
  }

  /** What a person has to change: rights, or a kind that is not installed. */
  get refused(): boolean {
    return [401, 403, 404].includes(this.status);
  }

  /** The server has too much to do, or is just coming. */
  get busy(): boolean {
    return this.status === 429 || this.status === 503;
  }
}

interface StatusObject {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly retryAfterSeconds?: number };
}

/** Of a `Status` object, or of whatever a proxy in front of the server answered. A server that is busy often says for how long in a header alone. */
export function errorOf(status: number, text: string, headers: Readonly<Record<string, string | string[] | undefined>> = {}): KubeError {
  const found = parse(text);
  const seconds = readRetryAfter(headers, Date.now()) ?? found.details?.retryAfterSeconds;
  return new KubeError(
    found.code ?? status,
    found.message ?? `HTTP ${status}${text.trim() === "" ? "" : `: ${text.trim().slice(0, 200)}`}`,
    {
      ...(found.reason === undefined ? {} : { reason: found.reason }),
      retryAfter: seconds === undefined ? undefined : seconds * 1_000,
    },
  );
}

function parse(text: string): StatusObject {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
