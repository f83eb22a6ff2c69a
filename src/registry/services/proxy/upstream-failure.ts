// What a client is told when upstream fails: one table from UpstreamError to the protocol's codes.

import { UpstreamError } from "../../upstream/errors.ts";
import { ServiceError, type ServiceErrorCode } from "../errors.ts";

/** Any error of the way out as a ServiceError; others stay what they are. `subject`: what was asked for, with the prefix. */
export function failureOf(error: unknown, subject: string): unknown {
  if (!(error instanceof UpstreamError)) return error;
  // Where a name leads inside, and what would open the way, is not for everybody who may pull.
  const why =
    error.code === "EgressRefused"
      ? "the upstream may not be asked (egress policy); its administrator sees why in the status"
      : `upstream failed: ${error.message}`;
  return new ServiceError(codeOf(error), `${subject} is not cached, and ${why}`, {
    cause: error,
    ...(error.retryAfter === undefined ? {} : { retryAfter: error.retryAfter }),
  });
}

/** Why the egress policy refused, when that is what `error` tells a client: for the log. */
export function egressRefusal(error: unknown): string | undefined {
  const { cause } = error instanceof ServiceError ? error : {};
  return cause instanceof UpstreamError && cause.code === "EgressRefused" ? cause.message : undefined;
}

export async function withFailure<T>(subject: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw failureOf(error, subject);
  }
}

function codeOf(error: UpstreamError): ServiceErrorCode {
  if (error.code === "RateLimited") return "TOOMANYREQUESTS";
  if (error.code === "Denied") return "DENIED";
  return "UPSTREAM_FAILED";
}
