// How source and registry are talked to: so much at a time, with patience, and with each failure told apart by whose it is.

import { ClientError } from "../client/errors.ts";
import type { PushClient } from "../client/push-client.ts";
import { Limit } from "./each.ts";
import { SourceError, type ImportSource, type SourceErrorCode } from "./import-source.ts";
import type { Patience } from "./patience.ts";
import type { ProblemKind } from "./report.ts";

/** One thing cannot be imported; the others can. */
export class Unimportable extends Error {
  readonly kind: ProblemKind;

  constructor(kind: ProblemKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Unimportable";
    this.kind = kind;
  }
}

/** The registry takes nothing for this repository. */
export class RepositoryRefused extends Error {}

export interface Traffic {
  readonly source: ImportSource;
  readonly target: PushClient;
  /** A request, or a blob on its way. Rejects with Unimportable, RepositoryRefused, or with what ends the import. */
  run<T>(work: (attempt: number) => Promise<T>): Promise<T>;
}

export function createTraffic(options: { source: ImportSource; target: PushClient; concurrency: number; patience: Patience }): Traffic {
  const limit = new Limit(options.concurrency);
  return {
    source: options.source,
    target: options.target,
    async run(work) {
      try {
        // Who waits for a better moment is in nobody's way.
        return await options.patience.with((attempt) => limit.run(() => work(attempt)));
      } catch (error) {
        throw judged(error);
      }
    },
  };
}

const kinds: Partial<Record<SourceErrorCode, ProblemKind>> = {
  Failing: "unreadable",
  Denied: "unreadable",
  Schema1: "schema1",
  Unsupported: "unsupportedManifest",
  BrokenLink: "brokenLink",
  WrongBytes: "wrongBytes",
};

/** Undefined: it is about the whole source. */
export const kindOf = (error: SourceError): ProblemKind | undefined => kinds[error.code];

function judged(error: unknown): unknown {
  if (error instanceof SourceError) {
    const kind = kindOf(error);
    return kind === undefined ? error : new Unimportable(kind, error.message, { cause: error });
  }
  if (!(error instanceof ClientError) || error.status === 0 || error.code === "Unauthorized") return error;
  if (error.code === "Refused") return new RepositoryRefused(error.message, { cause: error });
  // Not this content but the registry's own state: no space, not ready, read-only. A 500 may be about one thing.
  if (error.status > 500) return error;
  return new Unimportable("refused", `the registry does not take it: ${error.message}`, { cause: error });
}
