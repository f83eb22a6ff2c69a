// Regular expressions of resources are RE2. CEL has seen that they compile; here is what their parts mean together.

import { RE2JS } from "re2js";

import type { VersionFilter } from "../api/kinds.ts";

/** `$1`, `$name` and `${name}` of `extract` must be groups of `pattern`. */
export function extractProblems(filter: VersionFilter | undefined): string | undefined {
  if (filter?.pattern === undefined || filter.extract === undefined) return undefined;
  const compiled = RE2JS.compile(filter.pattern);
  const names = Object.keys(compiled.namedGroups());
  const used = [...filter.extract.matchAll(/\$(?:\{(\w+)\}|(\d+)|([A-Za-z_]\w*))/g)].map(
    ([, braced, index, name]) => braced ?? index ?? name ?? "",
  );
  const missing = used.find((group) => (/^\d+$/.test(group) ? Number(group) > compiled.groupCount() : !names.includes(group)));
  if (missing === undefined) return undefined;
  return `names the group $${missing}, which pattern does not have (it has ${compiled.groupCount()}${names.length > 0 ? `: ${names.join(", ")}` : ""})`;
}

/** Whether it accepts texts that have nothing in common. */
export function matchesAnything(pattern: string): boolean {
  const compiled = RE2JS.compile(pattern);
  return ["x", "https://example.com/any", "somebody@example.com"].every((text) => compiled.matches(text));
}
