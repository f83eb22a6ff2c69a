import { expect, test } from "vitest";

import type { VersionsView } from "../../api/control/versions.ts";
import { renderVersions } from "./versions.ts";

const digest = `sha256:${"a".repeat(64)}`;
const retired = (decision: object): VersionsView => ({
  repository: "cgr/nginx",
  policy: null,
  revision: "1f3c2ab",
  commits: {},
  refused: [],
  ledger: { image: "cgr.dev/nginx", builds: [], tags: {}, pinned: {}, retired: { "1.2": { digest, by: "Ann", ...decision } } },
});
const image = { repository: "cgr/nginx", tag: "1.2", digest: undefined };
const byHand = `move it from \`retired\` to \`tags\` (1.2: ${digest}) in the ledger file and commit`;

test.each([
  ["data/record", "git -C data/record revert 0123456789"],
  ["/srv/my registry/record", "git -C '/srv/my registry/record' revert 0123456789"],
  [undefined, "git revert 0123456789, in the record of that registry"],
])("how a version comes back, with the record in %j", (record, command) => {
  expect(renderVersions(retired({ commit: "0123456789abcdef" }), image, record)).toBe(
    `1.2 was taken out of service by Ann in 0123456; no run mints it again. To bring it back, revert that commit (${command}); if that conflicts, ${byHand}.`,
  );
});

test("one that nobody's commit took out", () => {
  expect(renderVersions(retired({ reason: "old" }), image, "data/record")).toBe(
    `1.2 was taken out of service by Ann: old; no run mints it again. To bring it back, ${byHand}.`,
  );
});

test("the commit is the one that brought the build, whatever was recorded since", () => {
  const evidence = { type: "SPDX" as const, attestation: digest, predicateType: "https://spdx.dev/Document", platforms: [] };
  const build = { version: "1.2", digest, sourceTag: "latest", seen: "2026-11-21T09:30:00Z", evidence };
  const ledger = { image: "cgr.dev/nginx", builds: [build], tags: { "1.2": digest }, pinned: {}, retired: {} };
  const lineOf = (commits: Record<string, string>) =>
    renderVersions({ ...retired({}), ledger, commits }, image, undefined)
      .split("\n")
      .find((line) => line.startsWith("  record "));
  expect(lineOf({ [digest]: "0123456789abcdef" })).toBe("  record     0123456");
  expect(lineOf({})).toBe("  record     1f3c2ab (last change of its ledger)");
});

test("a version whose copy is not here says so, and nothing of another one's", () => {
  const evidence = { type: "SPDX" as const, attestation: digest, predicateType: "https://spdx.dev/Document", platforms: [] };
  const build = { version: "1.2", digest, sourceTag: "latest", seen: "2026-11-21T09:30:00Z", evidence };
  const failed = { tags: ["1.2"], message: "upstream does not have it", retryAt: "2026-11-21T15:30:00.000Z" };
  const shown = (...digests: string[]) => {
    const ledger = { image: "cgr.dev/nginx", builds: [build], tags: { "1.2": digest }, pinned: {}, retired: {} };
    const notCopied = digests.map((other) => ({ ...failed, digest: other }));
    return renderVersions({ ...retired({}), ledger, notCopied }, image, undefined);
  };
  const line = "  copy       not here: upstream does not have it (tried again at 2026-11-21T15:30:00.000Z)";
  const lines = (text: string) => text.split("\n").filter((found) => found === line);
  expect(lines(shown(digest, `sha256:${"b".repeat(64)}`))).toEqual([line]);
  expect(lines(shown(`sha256:${"b".repeat(64)}`))).toEqual([]);
});

test("who signed: a key, a subject of an issuer with its log entry and the root, or nobody", () => {
  const linesOf = (signer: object) => {
    const evidence = { type: "SPDX" as const, attestation: digest, predicateType: "https://spdx.dev/Document", platforms: [], ...signer };
    const build = { version: "1.2", digest, sourceTag: "latest", seen: "2026-11-21T09:30:00Z", evidence };
    const ledger = { image: "cgr.dev/nginx", builds: [build], tags: { "1.2": digest }, pinned: {}, retired: {} };
    const lines = renderVersions({ ...retired({}), ledger }, image, undefined).split("\n");
    return lines.filter((line) => /^ {2}(?:attested|signer|log|root) /.test(line));
  };
  const attested = `  attested   ${digest}`;
  const certified = { issuer: "https://token.actions.githubusercontent.com", subject: "https://github.com/acme/app/x@refs/heads/main" };
  expect(linesOf({ ...certified, logIndex: 123, signed: "2026-11-21T02:11:09Z", rootVersion: digest })).toEqual([
    `${attested} on 2026-11-21T02:11:09Z`,
    "  signer     https://github.com/acme/app/x@refs/heads/main (issuer https://token.actions.githubusercontent.com)",
    "  log        entry 123",
    `  root       ${digest}`,
  ]);
  expect(linesOf({ key: { fingerprint: "sha256:ab", name: "cosign-pub/cosign.pub" } })).toEqual([
    attested,
    "  signer     cosign-pub/cosign.pub (sha256:ab)",
  ]);
  expect(linesOf({})).toEqual([attested, "  signer     nobody: the policy is Unverified"]);
});
