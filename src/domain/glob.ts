// Globs over repository names, as policies and Upstreams write them: `*` within a path segment, `**` any number of segments, none included.
// So `team-a/**` is team-a and everything below it, `*/nginx` is nginx one level down.

const segmentPattern = /^[a-z0-9._*-]+$/;

export function isGlob(text: string): boolean {
  return (
    text.length <= 255 && text.split("/").every((segment) => segmentPattern.test(segment) && (segment === "**" || !segment.includes("**")))
  );
}

/** Whether `segment` matches `pattern`, in which `*` stands for any characters. At most |pattern| × |segment| steps. */
function matchesSegment(pattern: string, segment: string): boolean {
  let p = 0;
  let s = 0;
  let star = -1;
  let resume = 0;
  while (s < segment.length) {
    if (pattern[p] === "*") {
      star = p;
      p += 1;
      resume = s;
    } else if (pattern[p] === segment[s]) {
      p += 1;
      s += 1;
    } else if (star >= 0) {
      // Only the last star needs another try: what came before it already matched as early as it could.
      resume += 1;
      s = resume;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p += 1;
  return p === pattern.length;
}

/** Whether `patterns` match all `segments`. Never backtracks over more than the last `**`. */
function matchesSegments(patterns: readonly string[], segments: readonly string[]): boolean {
  let p = 0;
  let s = 0;
  let star = -1;
  let resume = 0;
  while (s < segments.length) {
    const pattern = patterns[p];
    if (pattern === "**") {
      star = p;
      p += 1;
      resume = s;
    } else if (pattern !== undefined && matchesSegment(pattern, segments[s] ?? "")) {
      p += 1;
      s += 1;
    } else if (star >= 0) {
      resume += 1;
      s = resume;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (patterns[p] === "**") p += 1;
  return p === patterns.length;
}

/** Whether the glob matches the whole repository name. */
export function matchesGlob(glob: string, name: string): boolean {
  return matchesSegments(glob.split("/"), name.split("/"));
}

export type NameTest = (name: string) => boolean;

/** True for names that one of the globs matches. */
export function compileGlobs(globs: readonly string[]): NameTest {
  const patterns = globs.map((glob) => glob.split("/"));
  return (name) => {
    const segments = name.split("/");
    return patterns.some((pattern) => matchesSegments(pattern, segments));
  };
}

/** `repositories` of a policy or an Upstream: true for names that a glob of `include` matches and none of `exclude`. */
export function compileSelector(selector: { readonly include: readonly string[]; readonly exclude: readonly string[] }): NameTest {
  const included = compileGlobs(selector.include);
  const excluded = compileGlobs(selector.exclude);
  return (name) => included(name) && !excluded(name);
}
