// A version and what it stands on, for a person who asks why.

import type { LedgerDocument } from "../../api/control/record.ts";
import type { VersionsView } from "../../api/control/versions.ts";
import type { ImageReference } from "../command-line.ts";
import { faint, table } from "../output.ts";
import { gitInRecord } from "./record-hint.ts";

/** `record`: folder of the registry's record, where it is known. */
export function renderVersions(view: VersionsView, image: ImageReference, record: string | undefined): string {
  const digest = image.digest ?? view.ledger.tags[image.tag ?? ""] ?? view.ledger.pinned[image.tag ?? ""]?.digest;
  const build = view.ledger.builds.find((candidate) => candidate.digest === digest);
  return [
    ...decisions(view.ledger, image.tag ?? "", record),
    ...(build === undefined ? [] : describeBuild(view, build)),
    ...(view.notCopied ?? []).filter((version) => version.digest === digest).map(notCopied),
    ...(view.refused.length === 0
      ? []
      : [
          "",
          "Refused lately:",
          table(
            ["TAG", "DIGEST", "REASON", "MESSAGE"],
            view.refused.map((r) => [r.sourceTag, short(r.digest), r.outcome, r.message ?? ""]),
          ),
        ]),
  ].join("\n");
}

function decisions(ledger: LedgerDocument, tag: string, record: string | undefined): string[] {
  const pinned = ledger.pinned[tag];
  const retired = ledger.retired[tag];
  const because = (decision: { by: string; commit?: string; reason?: string }) =>
    `by ${decision.by}${decision.commit === undefined ? "" : ` in ${decision.commit.slice(0, 7)}`}${decision.reason === undefined ? "" : `: ${decision.reason}`}`;
  return [
    ...(pinned === undefined ? [] : [`${tag} is pinned ${because(pinned)}`]),
    ...(retired === undefined
      ? []
      : [`${tag} was taken out of service ${because(retired)}; no run mints it again. ${comesBack(ledger, tag, record)}`]),
  ];
}

/** The commit is a person's; without one it was a retention policy's proposal. */
function comesBack({ retired }: LedgerDocument, tag: string, record: string | undefined): string {
  const { commit, digest } = retired[tag] ?? {};
  const byHand = `move it from \`retired\` to \`tags\`${digest === undefined ? "" : ` (${tag}: ${digest})`} in the ledger file and commit`;
  return commit === undefined
    ? `To bring it back, ${byHand}.`
    : `To bring it back, revert that commit (${gitInRecord(record, `revert ${commit.slice(0, 10)}`)}); if that conflicts, ${byHand}.`;
}

function describeBuild(view: VersionsView, build: LedgerDocument["builds"][number]): string[] {
  const { evidence } = build;
  const tags = Object.entries(view.ledger.tags).filter(([, digest]) => digest === build.digest);
  return [
    `${view.repository}@${build.digest}`,
    `  version    ${build.version}`,
    `  tags       ${tags.length === 0 ? "none in service" : tags.map(([tag]) => tag).join(", ")}`,
    `  seen       ${build.seen} at ${view.ledger.image}:${build.sourceTag}`,
    `  evidence   ${evidence.type} ${faint(evidence.predicateType)}`,
    `  attested   ${evidence.attestation}${evidence.signed === undefined ? "" : ` on ${evidence.signed}`}`,
    `  signer     ${signerOf(evidence)}`,
    ...logOf(evidence),
    // A single-platform image names none.
    ...(evidence.platforms.length === 0 ? [] : [`  platforms  ${evidence.platforms.join(", ")}`]),
    `  policy     ${view.policy ?? "none any more"}`,
    `  record     ${commitOf(view, build.digest)}`,
  ];
}

type Evidence = LedgerDocument["builds"][number]["evidence"];

function signerOf({ key, subject, issuer }: Evidence): string {
  if (key !== undefined) return `${key.name} (${key.fingerprint})`;
  return subject === undefined || issuer === undefined ? "nobody: the policy is Unverified" : `${subject} (issuer ${issuer})`;
}

function logOf({ logIndex, rootVersion }: Evidence): string[] {
  return [
    ...(logIndex === undefined ? [] : [`  log        entry ${logIndex}`]),
    ...(rootVersion === undefined ? [] : [`  root       ${rootVersion}`]),
  ];
}

function commitOf({ commits, revision }: VersionsView, digest: string): string {
  return commits[digest]?.slice(0, 7) ?? `${revision.slice(0, 7)} (last change of its ledger)`;
}

function notCopied({ message, retryAt }: NonNullable<VersionsView["notCopied"]>[number]): string {
  return `  copy       not here: ${message} (tried again at ${retryAt})`;
}

const short = (digest: string) => digest.slice(0, digest.indexOf(":") + 13);
