import { stripVTControlCharacters } from "node:util";

import { expect, test } from "vitest";

import { renderDetails } from "./details.ts";

const render = (details: Record<string, unknown>) => stripVTControlCharacters(renderDetails(details)).split("\n");

test("values, objects and lists as a person reads them", () => {
  const failures = [
    { repository: "a/b", reason: "SignatureMissing", message: "no attestation" },
    { repository: "a/long", sourceTag: "latest", reason: "Unavailable" },
  ];
  expect(
    render({ tags: 3, images: { total: 2, failed: 1 }, names: ["a", "b"], none: [], failures, lastRun: { id: "7", state: "failed" } }),
  ).toEqual([
    "tags: 3",
    "images:",
    "  total: 2",
    "  failed: 1",
    "names: a, b",
    "none: none",
    "failures:",
    "  REPOSITORY   REASON             MESSAGE          SOURCETAG",
    "  a/b          SignatureMissing   no attestation",
    "  a/long       Unavailable                         latest",
    "lastRun:",
    "  id: 7",
    "  state: failed",
  ]);
});

test("of a long list the beginning", () => {
  const deleted = Array.from({ length: 25 }, (_, index) => ({ tag: `t${index}` }));
  const lines = render({ deleted });
  expect(lines).toHaveLength(1 + 1 + 20 + 1);
  expect(lines.at(-1)).toBe("  and 5 more (-o json has them)");
});
