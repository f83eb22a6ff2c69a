// Ledger files: what is read, and what a change leaves as it was.

import { expect, test } from "vitest";

import type { Ledger } from "../domain/ledger.ts";
import { readLedger, writeLedger } from "./ledger-file.ts";

const [one, two, root] = ["1", "2", "3"].map((digit) => `sha256:${digit.repeat(64)}` as const);

/** As the release before keyless signers wrote it, with a person's comment. */
const before = `image: cgr.dev/chainguard/nginx
builds:
  # the first one
  - seen: 2026-11-20T09:30:00Z
    digest: ${one}
    version: 1.27.2-r0
    evidence:
      key:
        name: cosign-pub/cosign.pub
        fingerprint: ${two}
      type: SPDX
      platforms: []
      attestation: ${two}
      predicateType: https://spdx.dev/Document
    sourceTag: latest
tags:
  1.27.2: ${one}
`;

test("a file of the release before is read; a build that comes to it leaves it as it was, and is written as a person reads it", () => {
  const known = readLedger("_ledger.yaml", Buffer.from(before));
  if ("path" in known) throw new Error(known.message);
  expect(known.builds[0]?.evidence.key).toEqual({ name: "cosign-pub/cosign.pub", fingerprint: two });
  const build: Ledger["builds"][number] = {
    sourceTag: "latest",
    seen: "2026-11-21T09:30:00Z",
    digest: two!,
    evidence: {
      platforms: ["linux/amd64", "linux/arm64"],
      signed: "2026-11-21T02:11:09Z",
      subject: "https://github.com/acme/app/x@refs/heads/main",
      logIndex: 123,
      issuer: "https://token.actions.githubusercontent.com",
      rootVersion: root,
      type: "SLSAProvenance",
      attestation: one!,
      predicateType: "https://slsa.dev/provenance/v1",
    },
    version: "1.27.3-r2",
  };
  const text = writeLedger({ ...known, builds: [...known.builds, build] }, Buffer.from(before));
  const added = `  - version: 1.27.3-r2
    digest: ${two}
    sourceTag: latest
    seen: 2026-11-21T09:30:00Z
    evidence:
      type: SLSAProvenance
      attestation: ${one}
      predicateType: https://slsa.dev/provenance/v1
      issuer: https://token.actions.githubusercontent.com
      subject: https://github.com/acme/app/x@refs/heads/main
      logIndex: 123
      signed: 2026-11-21T02:11:09Z
      rootVersion: ${root}
      platforms:
        - linux/amd64
        - linux/arm64
`;
  expect(text).toBe(before.replace("tags:\n", `${added}tags:\n`));
  expect(readLedger("_ledger.yaml", Buffer.from(text))).toMatchObject({ builds: [known.builds[0], build] });
});
