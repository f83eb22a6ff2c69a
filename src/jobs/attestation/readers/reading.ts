// What the readers of the document types have in common: packages with a name, a version, a purl.

import { AttestationError } from "../failure.ts";
import type { Json } from "../hostile-json.ts";
import { parsePurl, systemPackageTypes } from "./purl.ts";

/** Reads the version of `parameter` out of a verified predicate. AttestationError DocumentInvalid, VersionMissing, VersionAmbiguous. */
export type Reader = (predicate: Json, parameter: string) => string;

export interface NamedPackage {
  readonly name: string | undefined;
  readonly version: string | undefined;
  readonly purls: readonly string[];
}

/**
 * The version of the package called `name`, by its name or its purl's. What the system's package manager installed (apk, deb, rpm) counts
 * before what it was built from, which SBOMs list under the same name with another version.
 */
export function versionOf(packages: Iterable<NamedPackage>, name: string): string {
  const installed = new Set<string>();
  const others = new Set<string>();
  for (const candidate of packages) {
    const purls = candidate.purls.map(parsePurl).filter((purl) => purl !== undefined);
    const purl = purls.find((one) => one.name === name) ?? (candidate.name === name ? purls[0] : undefined);
    if (purl === undefined && candidate.name !== name) continue;
    const version = nonEmpty(candidate.version) ?? nonEmpty(purl?.version);
    if (version === undefined) continue;
    (purl !== undefined && systemPackageTypes.has(purl.type) ? installed : others).add(version);
  }
  const versions = [...(installed.size > 0 ? installed : others)];
  const [version] = versions;
  if (version === undefined) throw new AttestationError("VersionMissing", `it names no version of the package "${name}"`);
  if (versions.length > 1) {
    const shown = versions.slice(0, 5).map((text) => JSON.stringify(text.slice(0, 60)));
    throw new AttestationError("VersionAmbiguous", `it names ${versions.length} versions of the package "${name}": ${shown.join(", ")}`);
  }
  return version;
}

function nonEmpty(text: string | undefined): string | undefined {
  // NOASSERTION and NONE are how SPDX 2 says nothing.
  return text === "" || text === "NOASSERTION" || text === "NONE" ? undefined : text;
}
