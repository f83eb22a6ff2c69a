// What an audit found, for people: the invariant in words, since its number is known only to who has read the design.

import type { AuditReport } from "../../api/control/audit.ts";
import { table } from "../output.ts";

/** As numbered in docs/design/storage.md, "Invariants"; 2 is about time and cannot be seen in what is stored. */
const words: Readonly<Record<number, string>> = {
  1: "every name leads to whole content",
  3: "a digest has one content",
  4: "store and database agree",
  5: "sizes and referrers add up",
  6: "only published versions are served",
};

export function renderAudit({ findings }: AuditReport): string {
  if (findings.length === 0) return "Everything holds.";
  return table(
    ["WHAT DOES NOT HOLD", "SUBJECT", "FINDING"],
    findings.map(({ invariant, subject, message, repaired }) => [
      describe(invariant),
      subject,
      repaired === undefined ? message : `${message}; repaired: ${repaired}`,
    ]),
  );
}

/** Why an audit is no success; undefined: it is one. Not where there may be more than was found. */
export function auditVerdict({ findings, truncated }: AuditReport, { repair }: { readonly repair: boolean }): string | undefined {
  if (truncated !== undefined) {
    const { found, repaired } = truncated;
    const mended = repair ? `, ${repaired} of them repaired` : "";
    return `${found} findings at least${mended}; ${findings.length} are listed. Run it again when these are mended: there may be more.`;
  }
  const left = findings.filter(({ repaired }) => repaired === undefined).length;
  if (left === 0) return undefined;
  return `${left} ${left === 1 ? "finding" : "findings"}${repair ? " left" : ""}.`;
}

function describe(invariant: number): string {
  const known = words[invariant];
  return known === undefined ? `invariant ${invariant}` : `${invariant}: ${known}`;
}
