// `versions` of a TagPolicy: which versions count, and what part of the package's text is the version (design: tag-sync, point 5).

import { RE2JS } from "re2js";

import { maxVersionLength, parseVersion, type Version } from "./version.ts";
import { parseVersionRange } from "./version-range.ts";

export interface VersionRules {
  readonly semver?: string;
  /** RE2, whole string. */
  readonly pattern?: string;
  /** What the version is, in terms of the pattern's groups: `$1`, `$name` or `${name}`. */
  readonly extract?: string;
}

export type FilterResult = { readonly version: Version } | { readonly refused: string };

/** Judges what the evidence says. `refused` says why, with the text that was read. */
export function filterVersion(text: string, rules: VersionRules = {}): FilterResult {
  if (text.length > maxVersionLength)
    return { refused: `the version has ${text.length} characters, at most ${maxVersionLength} are taken` };
  const extracted = extract(text, rules);
  if (extracted === undefined) return { refused: `"${text}" does not match the pattern ${rules.pattern}` };
  const version = parseVersion(extracted);
  if (version === undefined) {
    return { refused: `"${extracted}" is not a version of one to four numbers; spec.versions.pattern and extract can take one out of it` };
  }
  if (rules.semver === undefined) return { version };
  const range = parseVersionRange(rules.semver);
  if ("problem" in range) return { refused: `spec.versions.semver: ${range.problem}` };
  return range.includes(version) ? { version } : { refused: `${version.full} is outside ${rules.semver}` };
}

function extract(text: string, { pattern, extract: template }: VersionRules): string | undefined {
  if (pattern === undefined) return text;
  const compiled = RE2JS.compile(pattern);
  const matcher = compiled.matcher(text);
  if (!matcher.matches()) return undefined;
  if (template === undefined) return text;
  const names = compiled.namedGroups();
  return template.replaceAll(/\$(?:\{(\w+)\}|(\d+)|([A-Za-z_]\w*))/g, (_, braced?: string, number?: string, name?: string) => {
    const group = braced ?? number ?? name ?? "";
    const index = /^\d+$/.test(group) ? Number(group) : names[group];
    if (index === undefined || index > matcher.groupCount()) return "";
    return matcher.group(index) ?? "";
  });
}
