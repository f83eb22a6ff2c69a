// Tags that are versions: 1.27.3, v1.27.3, 1.27.3-r2, 1.27.3-rc.1, and helm's 1.2.3_build for 1.2.3+build.
// Floating names such as 1.27 or 1 move with the newest build and are no versions here: other rules keep them.

import { parseVersion, type Version } from "../version.ts";

export function versionOfTag(tag: string): Version | undefined {
  const version = parseVersion(tag) ?? parseVersion(tag.replace("_", "+"));
  return version !== undefined && version.numbers.length >= 3 ? version : undefined;
}

/** The group that `per` names: 1.27 or 1. */
export function versionGroup(version: Version, per: "Minor" | "Major"): string {
  return version.numbers.slice(0, per === "Major" ? 1 : 2).join(".");
}
