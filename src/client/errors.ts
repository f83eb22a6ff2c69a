// What a caller of the registry gets instead of an answer.

export type ClientErrorCode = "Unreachable" | "Refused" | "NotFound" | "Conflict" | "Unauthorized" | "TooLarge" | "Invalid" | "Failed";

export class ClientError extends Error {
  readonly code: ClientErrorCode;
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** Worth trying again without a change: no answer, 429, 5xx. */
  readonly temporary: boolean;
  /** For programs: `detail` of the first error in the registry's answer, as the route documents it. */
  readonly detail: unknown;
  /** Seconds to wait before it is worth trying again, where the answer says so. */
  readonly retryAfter: number | undefined;

  constructor(
    code: ClientErrorCode,
    message: string,
    options: { status?: number; detail?: unknown; retryAfter?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "ClientError";
    this.code = code;
    this.status = options.status ?? 0;
    this.detail = options.detail;
    this.retryAfter = options.retryAfter;
    this.temporary = this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const byStatus: Record<number, ClientErrorCode> = {
  400: "Invalid",
  401: "Unauthorized",
  403: "Refused",
  404: "NotFound",
  405: "Refused",
  409: "Conflict",
  413: "TooLarge",
};

export function errorForStatus(
  status: number,
  { message, ...rest }: { message: string; detail?: unknown; retryAfter?: number | undefined },
): ClientError {
  return new ClientError(byStatus[status] ?? "Failed", message, { status, ...rest });
}
