// What a report has room for. An audit goes on when that is full, checks and repairs the rest, and says how many there were.

import type { AuditReport } from "../../../api/control/audit.ts";
import type { AuditFinding } from "./audit-step.ts";

/** Of one invariant: a store that is full of unknown objects must not hide that a blob is lost. */
const most = 1_000;

export class ListedFindings {
  readonly #listed: AuditFinding[] = [];
  readonly #byInvariant = new Map<number, number>();
  #found = 0;
  #repaired = 0;
  #isCut = false;

  add(finding: AuditFinding): void {
    const { invariant, repaired } = finding;
    this.#found++;
    if (repaired !== undefined) this.#repaired++;
    const listed = this.#byInvariant.get(invariant) ?? 0;
    if (listed === most) return this.cut();
    this.#byInvariant.set(invariant, listed + 1);
    this.#listed.push(finding);
  }

  /** There is more than was added. */
  cut(): void {
    this.#isCut = true;
  }

  report(): Pick<AuditReport, "findings" | "truncated"> {
    const all = { found: this.#found, repaired: this.#repaired };
    return { findings: this.#listed, ...(this.#isCut ? { truncated: all } : {}) };
  }
}
