import { expect, test } from "vitest";

import type { Kind } from "../domain/resource.ts";
import { notImplemented } from "./not-implemented.ts";
import { validateResource } from "./validate-resource.ts";

function judge(kind: Kind, spec: unknown) {
  const judged = validateResource({ kind, namespace: "default", name: "example", spec });
  if (judged.problems !== undefined) throw new Error(JSON.stringify(judged.problems));
  const { stalled, notes } = notImplemented(kind, judged.spec);
  return { stalled: stalled.map(({ path }) => path), notes: notes.map(({ path }) => path) };
}

const policy = { upstreamRef: { name: "cgr" }, images: [{ repository: "a/b" }], verify: { keys: [{ secretRef: { name: "k" } }] } };
const keyless = [{ issuer: "https://issuer.example.com", subject: "a" }];
const access = { repositories: { include: ["**"] }, actions: ["pull"] };

test.each([
  ["Upstream", { url: "https://a.example.com", prefix: "a" }, [], []],
  ["Upstream", { url: "https://a.example.com", prefix: "a", auth: { provider: "aws" } }, ["spec.auth.provider"], []],
  // The default names four kinds of evidence, and all of them are read.
  ["TagPolicy", policy, [], []],
  ["TagPolicy", { ...policy, evidence: [{ type: "Apko" }, { type: "CycloneDX" }] }, [], []],
  ["TagPolicy", { ...policy, verify: { keyless, trustedRoot: { configMapRef: { name: "r" } } } }, [], []],
  ["TagPolicy", { ...policy, evidence: [{ type: "SPDX" }], backfill: {} }, ["spec.backfill"], []],
  ["RetentionPolicy", { repositories: { include: ["**"] }, keep: [{ name: "a" }] }, [], []],
  ["AccessPolicy", { ...access, subjects: [{ kind: "User", name: "ci" }, { kind: "Anonymous" }] }, [], []],
  [
    "AccessPolicy",
    {
      ...access,
      subjects: [
        { kind: "User", name: "ci" },
        { kind: "Group", issuer: "corp", name: "a" },
        { kind: "ServiceAccount", namespace: "a", name: "*" },
        { kind: "OIDC", issuer: "github", claims: [{ name: "repository", value: "octo/app" }] },
      ],
    },
    [],
    [],
  ],
] as const)("%s %j", (kind, spec, stalled, notes) => {
  expect(judge(kind, spec)).toEqual({ stalled, notes });
});
