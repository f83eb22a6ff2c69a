// Why a Bearer token that was shown is not good enough, in the words of RFC 6750.

import { ServiceError } from "../../services/errors.ts";

export class BearerRefused extends ServiceError {
  readonly error: "invalid_token" | "insufficient_scope";

  constructor(error: "invalid_token" | "insufficient_scope", message: string) {
    super("UNAUTHORIZED", message);
    this.error = error;
  }
}
