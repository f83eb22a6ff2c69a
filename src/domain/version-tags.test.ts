import * as fc from "fast-check";
import { expect, test } from "vitest";

import { digestOfReferrerTag, isTag } from "./reference.ts";
import { filterVersion } from "./version-filter.ts";
import { refuseTagName, tagNames } from "./version-tags.ts";
import { parseVersion, type Version } from "./version.ts";

const version = (text: string): Version => {
  const parsed = parseVersion(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const names = (text: string, templates: string[], suffix = "", sourceTags = ["latest"]) =>
  tagNames(version(text), { templates, suffix, sourceTags });

test("the templates of the API page", () => {
  const templates = ["{fullVersion}", "{version}", "{major}.{minor}"];
  expect(names("1.27.3-r2", templates).tags).toEqual(["1.27.3-r2", "1.27.3", "1.27"]);
  expect(names("1.27.3-r2", templates, "-dev").tags).toEqual(["1.27.3-r2-dev", "1.27.3-dev", "1.27-dev"]);
});

test("equal names are minted once, zeros stay, + becomes _", () => {
  expect(names("1.27.3", ["{fullVersion}", "{version}", "v{version}"]).tags).toEqual(["1.27.3", "v1.27.3"]);
  expect(names("2024.01.05", ["{major}.{minor}"]).tags).toEqual(["2024.01"]);
  expect(names("1.2.3+k8s.1", ["{version}"]).tags).toEqual(["1.2.3_k8s.1"]);
});

test("what a version does not have gives no tag, with the reason", () => {
  expect(names("21-r1", ["{version}", "{major}.{minor}"])).toEqual({
    tags: ["21"],
    refused: [{ template: "{major}.{minor}", reason: "21-r1 has no {minor}" }],
  });
  expect(names("2.0.0-rc.1", ["{version}", "{major}"])).toEqual({
    tags: ["2.0.0-rc.1"],
    refused: [{ template: "{major}", reason: "2.0.0-rc.1 is a pre-release: only {version} and {fullVersion} are minted" }],
  });
});

test.each([
  ["{build}", "", "{build} is not one of {fullVersion} {version} {major} {minor}"],
  ["{}", "", "{} is not one of {fullVersion} {version} {major} {minor}"],
  ["latest", "", '"latest" is a source tag: upstream moves it'],
  ["-{version}", "", '"-1.27.3" is not a tag'],
  ["{version}", "/x", '"1.27.3/x" is not a tag'],
  ["sha256-{version}", "", "is the form of tags that belong to a digest"],
  ["{version", "", '"{version" is not a tag'],
  ["x".repeat(125) + "{version}", "", "is not a tag"],
])("%s%s is refused", (template, suffix, reason) => {
  const result = names("1.27.3-r2", [template], suffix);
  expect(result.tags).toEqual([]);
  expect(result.refused[0]?.reason).toContain(reason);
});

test("whatever the template, only valid tags come out: never a source tag, never a digest's tag", () => {
  const piece = fc.constantFrom("{fullVersion}", "{version}", "{major}", "{minor}", "-", ".", "v", "sha256-", "latest", "/", "x");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.constantFrom("", "-dev", ".att"), (pieces, suffix) => {
      for (const tag of names("1.27.3-r2", [pieces.join("")], suffix, ["latest", "1.27.3"]).tags) {
        expect(isTag(tag)).toBe(true);
        expect(digestOfReferrerTag(tag)).toBeUndefined();
        expect(["latest", "1.27.3"]).not.toContain(tag);
        expect(refuseTagName(tag, ["latest", "1.27.3"])).toBeUndefined();
      }
    }),
  );
});

test.each([
  ["1.27.3-r2", { semver: ">=1.25 <2" }, "1.27.3-r2"],
  ["release-1.27.3-stable", { pattern: "release-(?P<v>[0-9.]+)-stable", extract: "$v" }, "1.27.3"],
  ["REL_17_2", { pattern: "REL_(\\d+)_(\\d+)", extract: "$1.${2}" }, "17.2"],
  ["1:9.18.28-1~deb12u2", { pattern: "1:([0-9.]+)-.*", extract: "$1" }, "9.18.28"],
  ["1.27.3", { pattern: "1\\..*" }, "1.27.3"],
])("%s counts", (text, rules, full) => {
  expect(filterVersion(text, rules)).toMatchObject({ version: { full } });
});

test.each([
  ["2.0.0", { semver: ">=1.25, <2" }, "2.0.0 is outside >=1.25, <2"],
  ["1.27.3-r2", { pattern: "1\\.26.*", extract: "$0" }, '"1.27.3-r2" does not match the pattern 1\\.26.*'],
  ["x1.27.3", { pattern: "1.27.3", extract: "$0" }, '"x1.27.3" does not match the pattern'],
  ["1.27.3", { pattern: "(.*)", extract: "$2" }, '"" is not a version'],
  ["unknown", {}, '"unknown" is not a version'],
  ["1.27.3", { semver: "nonsense" }, 'spec.versions.semver: "nonsense" is not a version range'],
  ["9".repeat(5000), {}, "the version has 5000 characters"],
])("%s is refused", (text, rules, reason) => {
  expect("refused" in filterVersion(text, rules) && (filterVersion(text, rules) as { refused: string }).refused).toContain(reason);
});
