// Every name under which evidence is refused is explained, and is told of in the condition Verified where the evidence was not verified.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import type { TagPolicySpec } from "../src/api/kinds.ts";
import { evidenceFailures } from "../src/jobs/attestation/failure.ts";
import { verifiedOf } from "../src/operator/reconcilers/verified-condition.ts";

test("the guide names every failure", async () => {
  const guide = await readFile(resolve(import.meta.dirname, "../docs/guides/versions-from-evidence.md"), "utf8");
  expect(evidenceFailures.filter((name) => !guide.includes(`\`${name}\``))).toEqual([]);
});

test("Verified is False for every failure up to the one at which the document is read, and True after it", () => {
  const status = (reason: string) =>
    verifiedOf(
      { verify: { mode: "Verified" } } as TagPolicySpec,
      { run: "1", succeeded: true, message: "", finishedAt: "", result: undefined },
      { found: { failed: 1, failures: [{ repository: "a/b", reason }] }, ledgers: [] },
    );
  const expected = evidenceFailures.map((name, index) =>
    index < evidenceFailures.indexOf("DocumentInvalid") ? { status: "False", reason: name } : { status: "True", reason: "Succeeded" },
  );
  expect(evidenceFailures.map(status)).toMatchObject(expected);
});
