// Binding version tags to builds: the one place that decides where a version tag points (design: tag-sync, "The ledger"; record, "Ledger files").
//
// Builds are only ever added. They have one order: version first (package revision included), then the signed time, or where nothing signed
// states one, when this registry first saw the build. A tag moves up in that order and never down, so it does not matter in which order builds arrive.

import type { Digest } from "./digest.ts";
import type { Build, Decision, Ledger } from "./ledger.ts";
import { compareUpstream, compareVersions, parseVersion, type Version } from "./version.ts";
import { refuseTagName } from "./version-tags.ts";

export interface MintRequest {
  /** As upstream writes it, host included: cgr.dev/chainguard/nginx. */
  readonly image: string;
  readonly build: Build;
  readonly tags: readonly string[];
  /** Newest: a rebuild of 1.27.3 takes the tags of 1.27.3. First: they stay where they were bound first. */
  readonly onRebuild: "Newest" | "First";
}

export type MintRefusal = "VersionInvalid" | "TagInvalid" | "Pinned" | "Retired" | "UnknownBinding" | "NewerThere" | "FirstStays";

export interface MintResult {
  /** The same object when nothing changed. */
  readonly ledger: Ledger;
  readonly added: readonly { readonly tag: string; readonly digest: Digest }[];
  readonly moved: readonly { readonly tag: string; readonly from: Digest; readonly to: Digest }[];
  readonly refused: readonly { readonly tag: string; readonly code: MintRefusal; readonly reason: string }[];
}

/** Adds the build and binds its tags. Pure: neither argument is changed. `now` stands in for a build that says no time. */
export function mint(
  ledger: Ledger | undefined,
  request: MintRequest,
  options: { readonly now: Date; readonly sourceTags: readonly string[] },
): MintResult {
  const before = ledger ?? { image: request.image, builds: [], tags: {}, pinned: {}, retired: {} };
  const version = parseVersion(request.build.version);
  if (version === undefined) {
    const reason = `"${request.build.version}" is not a version`;
    return { ledger: before, added: [], moved: [], refused: request.tags.map((tag) => ({ tag, code: "VersionInvalid", reason })) };
  }
  const known = before.builds.find((build) => sameBuild(build, request.build));
  const build = known ?? { ...request.build, seen: request.build.seen === "" ? options.now.toISOString() : request.build.seen };
  const result = {
    added: [] as { tag: string; digest: Digest }[],
    moved: [] as { tag: string; from: Digest; to: Digest }[],
    refused: [] as { tag: string; code: MintRefusal; reason: string }[],
  };
  for (const tag of new Set(request.tags)) {
    const from = own(before.tags, tag);
    const refusal = judge(before, tag, { build, version, onRebuild: request.onRebuild, sourceTags: options.sourceTags });
    if (refusal !== undefined) result.refused.push({ tag, ...refusal });
    else if (from === undefined) result.added.push({ tag, digest: build.digest });
    else if (from !== build.digest) result.moved.push({ tag, from, to: build.digest });
  }
  if (known !== undefined && result.added.length === 0 && result.moved.length === 0) return { ledger: before, ...result };
  const tags = new Map(Object.entries(before.tags));
  for (const { tag } of [...result.added, ...result.moved]) tags.set(tag, build.digest);
  const builds = known === undefined ? [...before.builds, build] : before.builds;
  return { ledger: { ...before, builds, tags: Object.fromEntries(tags) }, ...result };
}

interface Candidate {
  readonly build: Build;
  readonly version: Version;
  readonly onRebuild: "Newest" | "First";
  readonly sourceTags: readonly string[];
}

/** Why this tag stays as it is; undefined when it may point at the candidate. */
function judge(ledger: Ledger, tag: string, candidate: Candidate): { code: MintRefusal; reason: string } | undefined {
  const invalid = refuseTagName(tag, candidate.sourceTags);
  if (invalid !== undefined) return { code: "TagInvalid", reason: invalid };
  const pinned = own(ledger.pinned, tag);
  if (pinned !== undefined) return { code: "Pinned", reason: `pinned ${credit(pinned)}` };
  const retired = own(ledger.retired, tag);
  if (retired !== undefined) return { code: "Retired", reason: `retired ${credit(retired)}` };
  const bound = own(ledger.tags, tag);
  if (bound === undefined || bound === candidate.build.digest) return undefined;
  const there = newestBuild(ledger, bound);
  // A binding without a build was written by a person; the record's next commit lists it as pinned.
  if (there === undefined)
    return { code: "UnknownBinding", reason: `points at ${bound}, which is no build of this ledger: a person's choice` };
  if (candidate.onRebuild === "First" && compareUpstream(candidate.version, there.version) === 0) {
    return { code: "FirstStays", reason: `stays at ${there.build.version} (${bound}): onRebuild is First` };
  }
  if (compareBuilds(candidate, there) < 0) {
    return { code: "NewerThere", reason: `points at ${there.build.version} (${bound}) of ${timeOf(there.build)}, which is newer` };
  }
  return undefined;
}

interface DatedVersion {
  readonly build: Build;
  readonly version: Version;
}

/** A digest may have been read as several versions, from several source tags: the newest counts. */
function newestBuild(ledger: Ledger, digest: Digest): DatedVersion | undefined {
  let newest: DatedVersion | undefined;
  for (const build of ledger.builds) {
    const version = build.digest === digest ? parseVersion(build.version) : undefined;
    if (version === undefined) continue;
    if (newest === undefined || compareBuilds({ build, version }, newest) > 0) newest = { build, version };
  }
  return newest;
}

/** The order of builds. The digest decides what nothing else does, so that any order of arrival ends alike. */
function compareBuilds(a: DatedVersion, b: DatedVersion): number {
  return (
    compareVersions(a.version, b.version) ||
    Date.parse(timeOf(a.build)) - Date.parse(timeOf(b.build)) ||
    (a.build.digest < b.build.digest ? -1 : Number(a.build.digest > b.build.digest))
  );
}

function timeOf(build: Build): string {
  return build.evidence.signed ?? build.seen;
}

function sameBuild(a: Build, b: Build): boolean {
  return a.digest === b.digest && a.version === b.version && a.sourceTag === b.sourceTag;
}

export interface RetireResult {
  readonly ledger: Ledger;
  readonly removed: readonly { readonly tag: string; readonly digest: Digest }[];
  readonly refused: readonly { readonly tag: string; readonly reason: string }[];
}

/**
 * Takes tags out of service for good: `retired` says by whom and why, and `mint` never binds them again.
 * With a digest only while the tag still points there. A pinned tag stays: a person's decision stands above a rule.
 */
export function retire(
  ledger: Ledger,
  tags: readonly { readonly tag: string; readonly digest?: Digest; readonly reason?: string }[],
  by: string,
  reason?: string,
): RetireResult {
  const left = new Map(Object.entries(ledger.tags));
  const retired = new Map(Object.entries(ledger.retired));
  const removed: { tag: string; digest: Digest }[] = [];
  const refused: { tag: string; reason: string }[] = [];
  for (const request of tags) {
    const digest = left.get(request.tag);
    const pinned = own(ledger.pinned, request.tag);
    const why = request.reason ?? reason;
    if (pinned !== undefined) refused.push({ tag: request.tag, reason: `pinned ${credit(pinned)}` });
    else if (digest === undefined) refused.push({ tag: request.tag, reason: "there is no such version tag" });
    else if (request.digest !== undefined && request.digest !== digest) {
      refused.push({ tag: request.tag, reason: `points at ${digest} now, not at ${request.digest}` });
    } else {
      left.delete(request.tag);
      retired.set(request.tag, { digest, by, ...(why === undefined ? {} : { reason: why }) });
      removed.push({ tag: request.tag, digest });
    }
  }
  if (removed.length === 0) return { ledger, removed, refused };
  return { ledger: { ...ledger, tags: Object.fromEntries(left), retired: Object.fromEntries(retired) }, removed, refused };
}

function credit({ by, commit, reason }: Decision): string {
  return `by ${by}${commit === undefined ? "" : ` in ${commit}`}${reason === undefined ? "" : `: ${reason}`}`;
}

/** A tag may be called `constructor`. */
function own<T>(map: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}
