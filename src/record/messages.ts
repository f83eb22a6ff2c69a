// Commits as a person reads them in `git log`: a subject that says what, a body that says which fields, trailers that are the memory.

import { trailers } from "../api/conditions.ts";
import type { Digest } from "../domain/digest.ts";
import type { Ledger } from "../domain/ledger.ts";
import { describeKey, keyString, type ResourceKey } from "../domain/resource.ts";
import type { PlannedCommit } from "./commits.ts";
import type { Commit } from "./history.ts";
import { ledgerPath, planPath, resourcePath } from "./layout.ts";
import type { DecidedLedger } from "./ledger-decisions.ts";
import { personOf } from "./ledger-decisions.ts";
import { writeLedger } from "./ledger-file.ts";
import { renderResource } from "./resource-file.ts";
import { changedFields } from "./changed-fields.ts";

export interface Committer {
  readonly installation: string;
  /** Field manager: who applied the resource. */
  readonly appliedBy: string;
}

export interface ResourceChange {
  readonly key: ResourceKey;
  readonly generation: number;
  readonly specDigest: string;
  /** Of its namespace, in a cluster. */
  readonly namespaceUid?: string | undefined;
  /** Effective spec. */
  readonly spec: unknown;
  /** What Git says now, and its bytes; undefined: no file. */
  readonly before?: { readonly spec: unknown; readonly bytes: Buffer | undefined };
  /** A person's change that ends with this commit. */
  readonly ends?: Commit;
}

/** A new generation of a resource. */
export function resourceCommit(change: ResourceChange, committer: Committer): PlannedCommit {
  const subject = `${describeKey(change.key)}: generation ${change.generation}`;
  const fields = changedFields(change.before?.spec, change.spec);
  const ending = change.ends === undefined ? "" : `ends override ${short(change.ends)} by ${change.ends.author.name}`;
  const what =
    change.ends === undefined
      ? ""
      : `These fields go back to what the resource says (${short(change.ends)} by ${personOf(change.ends)} had changed them):`;
  return {
    subject: ending === "" ? subject : `${subject}, ${ending}`,
    body: [what, list(fields)].filter((part) => part !== "").join("\n\n"),
    trailers: resourceTrailers(change, committer),
    files: [{ path: resourcePath(change.key), content: renderResource(change.key, change.spec, change.before?.bytes) }],
  };
}

/** HEAD already says what the resource says: an empty commit remembers it. */
export function adoptionCommit(change: ResourceChange, by: Commit | undefined, committer: Committer): PlannedCommit {
  const whose = by === undefined ? "what is recorded" : `${short(by)} by ${by.author.name}`;
  return {
    subject: `${describeKey(change.key)}: generation ${change.generation}, adopts ${whose}`,
    body: "The file already says what the resource says; nothing changes.",
    trailers: resourceTrailers(change, committer),
    files: [],
  };
}

export interface ResourceRemoval {
  readonly generation: number;
  /** Its file still is there. */
  readonly present: boolean;
  /** The word of the person who let it go, where it had waited for one. */
  readonly confirmedBy?: string | undefined;
  readonly committer: Committer;
}

/** The resource is gone. */
export function removalCommit(key: ResourceKey, { generation, present, confirmedBy, committer }: ResourceRemoval): PlannedCommit {
  const why = [
    "The resource was deleted",
    ...(present ? [] : ["; its file was gone before"]),
    ...(confirmedBy === undefined ? [] : [`, with many others; a person let them go (confirm-removal ${confirmedBy})`]),
  ].join("");
  return {
    subject: `${describeKey(key)}: removed`,
    body: `${why}.${present ? " To serve it again, apply it again, or revert this commit (then it stays until its file is removed)." : ""}`,
    trailers: [
      ...resourceTrailers({ key, generation, specDigest: "none" }, committer),
      ...(confirmedBy === undefined ? [] : [[trailers.confirmedRemoval, confirmedBy] as const]),
    ],
    files: present ? [{ path: resourcePath(key), content: null }] : [],
  };
}

/** What people decided about versions, written down before anything else happens to the file: reverting a later version does not take it out. */
export function decisionsCommit(
  repository: string,
  decided: DecidedLedger,
  before: Buffer | undefined,
  committer: Committer,
): PlannedCommit {
  const words = { retired: "retired", pinned: "pinned", restored: "back in service" };
  const lines = decided.unwritten.map(
    ({ tag, decision, commit }) => `${tag}: ${words[decision]} by ${personOf(commit)} in ${short(commit)}`,
  );
  return {
    subject: `versions ${repository}: ${decided.unwritten.map(({ tag, decision }) => `${tag} ${words[decision]}`).join(", ")}`,
    body: list(lines),
    trailers: versionTrailers(committer),
    files: [{ path: ledgerPath(repository), content: writeLedger(decided.ledger, before) }],
  };
}

/** A change of a ledger: minted or retired versions. `lines` say it in words. */
export function versionsCommit(
  repository: string,
  options: {
    subject: string;
    body: string;
    ledger: Ledger;
    before: Buffer | undefined;
    committer: Committer;
    /** The build that it brings; the trailer remembers which commit it was. */
    build?: Digest | undefined;
  },
): PlannedCommit {
  return {
    subject: `versions ${repository}: ${options.subject}`,
    body: options.body,
    trailers: [
      ...(options.build === undefined ? [] : [[trailers.build, `${repository}@${options.build}`] as const]),
      ...versionTrailers(options.committer),
    ],
    files: [{ path: ledgerPath(repository), content: writeLedger(options.ledger, options.before) }],
  };
}

/** What a run of a retention policy deleted; the trailer remembers that it is told. `policy`: namespace/name. */
export function planCommit(
  policy: string,
  options: { run: string; subject: string; body: string; content: string; committer: Committer },
): PlannedCommit {
  return {
    subject: `plan ${policy}: ${options.subject}`,
    body: options.body,
    trailers: [...(options.run === "" ? [] : [[trailers.run, options.run] as const]), ...versionTrailers(options.committer)],
    files: [{ path: planPath(policy), content: options.content }],
  };
}

function resourceTrailers(
  { key, generation, specDigest, namespaceUid }: Pick<ResourceChange, "key" | "generation" | "specDigest" | "namespaceUid">,
  committer: Committer,
): PlannedCommit["trailers"] {
  return [
    [trailers.resource, keyString(key)],
    [trailers.generation, String(generation)],
    [trailers.specDigest, specDigest],
    [trailers.installation, committer.installation],
    ...(namespaceUid === undefined ? [] : [[trailers.namespaceUid, namespaceUid] as const]),
    [trailers.appliedBy, committer.appliedBy],
  ];
}

function versionTrailers(committer: Committer): PlannedCommit["trailers"] {
  return [[trailers.installation, committer.installation]];
}

export function short(commit: Commit): string {
  return commit.id.slice(0, 10);
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `* ${line}`).join("\n");
}
