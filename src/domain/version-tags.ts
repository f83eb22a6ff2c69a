// Tag names from a version: `{fullVersion} {version} {major} {minor}` and a suffix (api: TagPolicy.spec.tags).

import { digestOfReferrerTag, isTag } from "./reference.ts";
import { isPreRelease, type Version } from "./version.ts";

export interface TagTemplates {
  readonly templates: readonly string[];
  /** Of the source tag: `-dev`. */
  readonly suffix: string;
  /** Tags that upstream moves: never minted. */
  readonly sourceTags: readonly string[];
}

export interface TagNames {
  /** Valid OCI tags, each once, in the order of the templates. */
  readonly tags: readonly string[];
  readonly refused: readonly { readonly template: string; readonly reason: string }[];
}

const placeholders = ["fullVersion", "version", "major", "minor"] as const;
type Placeholder = (typeof placeholders)[number];

/** The tags of one version. A template that this version cannot fill is refused with the reason; the others count. */
export function tagNames(version: Version, options: TagTemplates): TagNames {
  const tags = new Set<string>();
  const refused: { template: string; reason: string }[] = [];
  for (const template of options.templates) {
    const result = fill(template, version, options);
    if ("tag" in result) tags.add(result.tag);
    else refused.push({ template, reason: result.reason });
  }
  return { tags: [...tags], refused };
}

/** Why no registry can have a version tag of this name; undefined when it can. */
export function refuseTagName(tag: string, sourceTags: readonly string[]): string | undefined {
  if (!isTag(tag)) return `"${tag}" is not a tag: letters, digits, "_", "." and "-", at most 128, not starting with "." or "-"`;
  if (/^sha(?:256|512)-/.test(tag) || digestOfReferrerTag(tag) !== undefined) {
    return `"${tag}" is the form of tags that belong to a digest (signatures, attestations)`;
  }
  return sourceTags.includes(tag) ? `"${tag}" is a source tag: upstream moves it` : undefined;
}

function fill(template: string, version: Version, { suffix, sourceTags }: TagTemplates): { tag: string } | { reason: string } {
  const names = [...template.matchAll(/\{([^{}]*)\}/g)].map(([, name = ""]) => name);
  const unknown = names.find((name) => !isPlaceholder(name));
  if (unknown !== undefined) return { reason: `{${unknown}} is not one of ${placeholders.map((name) => `{${name}}`).join(" ")}` };
  const missing = names.find((name) => isPlaceholder(name) && valueOf(version, name) === undefined);
  if (missing !== undefined) return { reason: `${version.full} has no {${missing}}` };
  // 2.0 must not point at 2.0.0-rc.1: only a tag that names the whole version may.
  if (isPreRelease(version) && !names.includes("version") && !names.includes("fullVersion")) {
    return { reason: `${version.full} is a pre-release: only {version} and {fullVersion} are minted` };
  }
  const tag = template.replaceAll(/\{(\w+)\}/g, (_, name: Placeholder) => valueOf(version, name) ?? "") + suffix;
  const reason = refuseTagName(tag, sourceTags);
  return reason === undefined ? { tag } : { reason };
}

function isPlaceholder(name: string): name is Placeholder {
  return (placeholders as readonly string[]).includes(name);
}

/** `+` is not allowed in a tag; as Helm does, `_` stands for it. */
function valueOf(version: Version, name: Placeholder): string | undefined {
  switch (name) {
    case "fullVersion":
      return version.full.replaceAll("+", "_");
    case "version":
      return version.upstream.replaceAll("+", "_");
    case "major":
      return part(version, 0);
    case "minor":
      return part(version, 1);
  }
}

/** As written, so that 2024.01 keeps its zero. */
function part(version: Version, index: number): string | undefined {
  return /^\d+(?:\.\d+)*/.exec(version.upstream)?.[0].split(".")[index];
}
