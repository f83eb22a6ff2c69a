import { expect, test } from "vitest";

import type { Identity } from "../../../domain/identity.ts";
import { scannersBy } from "./scanners.ts";

const ci: Identity = { kind: "user", name: "ci" };
const trivy: Identity = { kind: "user", name: "trivy" };
const isScanner = scannersBy({ users: ["trivy"], userAgents: ["Trivy", "stereoscope"] });

test.each([
  ["a named user", trivy, "curl/8", true],
  ["a named product", ci, "trivy/0.60 (linux) go-containerregistry/v0.20", true],
  ["a product alone", { kind: "anonymous" }, "Stereoscope", true],
  ["a product that comes second", ci, "docker/27 trivy/0.60", false],
  ["another one whose name begins so", ci, "trivy-operator/1", false],
  ["nobody in particular", ci, undefined, false],
] as const)("%s", (_, identity, userAgent, expected) => {
  expect(isScanner(identity, userAgent)).toBe(expected);
  expect(scannersBy({ users: [], userAgents: [] })(identity, userAgent)).toBe(false);
});
