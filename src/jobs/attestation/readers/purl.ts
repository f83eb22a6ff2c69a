// Package URLs, as far as a version needs them: pkg:apk/wolfi/nginx@1.27.3-r2?arch=x86_64 (package-url specification, "Rules for each purl component").

export interface Purl {
  readonly type: string;
  readonly name: string;
  readonly version: string | undefined;
}

/** Types of what a distribution's package manager installs. */
export const systemPackageTypes: ReadonlySet<string> = new Set(["apk", "deb", "rpm", "alpm", "bitnami"]);

/** Undefined when `text` is not a purl. */
export function parsePurl(text: string): Purl | undefined {
  const match = /^pkg:\/*([A-Za-z][A-Za-z0-9.+-]*)\/([^?#]+)/.exec(text.slice(0, 1000));
  const path = match?.[2];
  const type = match?.[1];
  if (path === undefined || type === undefined) return undefined;
  // The last @ divides: a scoped npm name has one of its own, as %40 or, in sloppy ones, bare.
  const at = path.lastIndexOf("@");
  const versioned = at > 0 && at > path.lastIndexOf("/");
  const name = decode((versioned ? path.slice(0, at) : path).split("/").findLast((segment) => segment !== "") ?? "");
  const version = versioned ? decode(path.slice(at + 1)) : undefined;
  return name === undefined || name === "" ? undefined : { type: type.toLowerCase(), name, version };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
