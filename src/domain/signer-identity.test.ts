import { expect, test } from "vitest";

import { isIdentity, type WantedIdentity } from "./signer-identity.ts";

const issuer = "https://token.actions.githubusercontent.com";
const subject = "https://github.com/acme/app/.github/workflows/release.yaml@refs/heads/main";

test.each<[boolean, Partial<WantedIdentity>]>([
  [true, { subject }],
  [false, { subject: subject.slice(0, -1) }],
  [false, { subject: subject.toUpperCase() }],
  [false, { subject, issuer: `${issuer}/` }],
  [true, { subjectRegExp: "https://github\\.com/acme/.*" }],
  [false, { subjectRegExp: "github\\.com/acme/.*" }],
  [false, { subjectRegExp: "https://github\\.com/acme/app" }],
  [false, { subjectRegExp: "a|https://github\\.com/acme/app" }],
  // Not what the schema lets through: then nobody is meant.
  [false, {}],
])("the same signer: %s, for %o", (same, wanted) => {
  expect(isIdentity({ issuer, subject }, { issuer, ...wanted })).toBe(same);
});
