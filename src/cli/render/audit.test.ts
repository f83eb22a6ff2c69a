import { expect, test } from "vitest";

import { questions } from "../../registry/metadata/audit.ts";
import { renderAudit } from "./audit.ts";

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
