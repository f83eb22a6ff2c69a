import { expect, test } from "vitest";

import { questions } from "../../registry/metadata/audit.ts";
import { auditVerdict, renderAudit } from "./audit.ts";

const report = (invariants: readonly number[]) => ({
  deep: false,
  checked: { repositories: 0, manifests: 0, blobs: 0, objects: 0, bytes: 0, hashed: 0 },
  findings: invariants.map((invariant) => ({ invariant, subject: "team-a/app:v1", message: "is lost" })),
});

test("a finding says in words what does not hold", () => {
  expect(renderAudit(report([1]))).toBe(
    "WHAT DOES NOT HOLD                     SUBJECT         FINDING\n1: every name leads to whole content   team-a/app:v1   is lost",
  );
  expect(renderAudit(report([]))).toBe("Everything holds.");
});

test("every invariant that the registry checks has words, and one of a newer registry its number", () => {
  const checked = [...questions.map(({ invariant }) => invariant), 4];
  expect(renderAudit(report(checked))).not.toContain("invariant ");
  expect(renderAudit(report([99]))).toContain("invariant 99");
});

test("what is left decides, and more than is listed is never a success", () => {
  const found = report([1, 4]);
  const repaired = { ...found, findings: found.findings.map((finding) => ({ ...finding, repaired: "deleted" })) };
  expect(auditVerdict(report([]), { repair: false })).toBeUndefined();
  expect(auditVerdict(found, { repair: false })).toBe("2 findings.");
  expect(auditVerdict(repaired, { repair: true })).toBeUndefined();
  expect(auditVerdict({ ...repaired, truncated: { found: 5, repaired: 5 } }, { repair: true })).toBe(
    "5 findings at least, 5 of them repaired; 2 are listed. Run it again when these are mended: there may be more.",
  );
});
