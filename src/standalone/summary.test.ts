import { expect, test } from "vitest";

import { summaryLine } from "./summary.ts";

const facts = { url: "http://127.0.0.1:5000", record: "data/record", revision: "1f3c2ab00000" };

test("what is served, since when, and what to type next", () => {
  const upstreams = [
    { prefix: "hub", url: "https://docker.io" },
    { prefix: "cgr", url: "https://cgr.dev" },
  ];
  expect(summaryLine({ ...facts, upstreams })).toBe(
    "Serving http://127.0.0.1:5000 (own images; upstreams cgr, hub; record data/record at 1f3c2ab). Try: docker pull 127.0.0.1:5000/cgr/chainguard/nginx:latest",
  );
});

test.each([
  [[], "Serving http://127.0.0.1:5000 (own images; record data/record at 1f3c2ab). Try: docker push 127.0.0.1:5000/team-a/app:v1"],
  [
    [{ prefix: "up", url: "https://registry.example:5001" }],
    "Serving http://127.0.0.1:5000 (own images; upstream up; record data/record at 1f3c2ab). Try: docker pull 127.0.0.1:5000/up/<repository>:<tag>",
  ],
])("with other upstreams: %j", (upstreams, line) => {
  expect(summaryLine({ ...facts, upstreams })).toBe(line);
});

test("nothing published", () => {
  expect(summaryLine({ ...facts, upstreams: [], revision: null })).toContain("record data/record, nothing published yet)");
});
