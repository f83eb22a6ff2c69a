// What the parts of an audit are given, and what they say.

import type { AuditReport } from "../../../api/control/audit.ts";
import type { NameTest } from "../../../domain/glob.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import type { Database } from "../../metadata/database.ts";

export type AuditFinding = AuditReport["findings"][number];

export type AuditedStore = Pick<BlobStore, "list" | "open" | "delete">;

/** What was done about a finding, or why not; undefined: nothing can be done here. */
export type Mended = { readonly repaired: string } | { readonly refused: string } | undefined;

export interface AuditContext {
  readonly database: Database;
  /** Nothing is written or deleted unless somebody asks for repair. */
  readonly store: AuditedStore;
  /** Repositories whose manifests may name blobs that are not here; none by default. */
  readonly mayMissBlobs?: NameTest;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970; the clock of this process by default. */
  readonly now?: () => number;
}

/** What one part of the audit says: how far it is, what it found, what it counted; `cut`: there is more than it found. */
export type AuditStep =
  | { readonly done: number; readonly total: number; readonly step: string }
  | { readonly finding: AuditFinding; readonly mend?: () => Promise<Mended> }
  | { readonly checked: Partial<AuditReport["checked"]> }
  | { readonly cut: true };
