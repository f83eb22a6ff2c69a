// One line of a plan.

import type { Digest } from "../digest.ts";

export interface PlannedEntry {
  readonly repository: string;
  /** undefined: an untagged manifest. */
  readonly tag: string | undefined;
  readonly digest: Digest;
  readonly verdict: "keep" | "delete";
  readonly rule: string;
  readonly reason: string;
  /** A version tag: deleting means a proposal to retire. */
  readonly version: boolean;
  /** That come free when this entry goes, with what goes before it in the plan. */
  readonly bytes: number;
}
