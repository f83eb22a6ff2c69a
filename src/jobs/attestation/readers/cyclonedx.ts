// CycloneDX 1.4 and newer, JSON: what the BOM describes, then its components with theirs.

import { AttestationError } from "../failure.ts";
import { field, list, text, type Json } from "../hostile-json.ts";
import { versionOf, type NamedPackage, type Reader } from "./reading.ts";

const maxLevels = 8;

export const readCycloneDx: Reader = (predicate, parameter) => {
  const version = /^1\.(\d+)$/.exec(text(field(predicate, "specVersion")) ?? "");
  if (text(field(predicate, "bomFormat")) !== "CycloneDX" || version === null || Number(version[1]) < 4) {
    throw new AttestationError("DocumentInvalid", "not a CycloneDX document of version 1.4 or newer");
  }
  const described = field(field(predicate, "metadata"), "component");
  const roots = [...(described === undefined ? [] : [described]), ...list(field(predicate, "components"))];
  return versionOf(components(roots, 1), parameter);
};

function* components(entries: readonly Json[], level: number): Generator<NamedPackage> {
  for (const entry of entries) {
    const purl = text(field(entry, "purl"));
    yield { name: text(field(entry, "name")), version: text(field(entry, "version")), purls: purl === undefined ? [] : [purl] };
    if (level < maxLevels) yield* components(list(field(entry, "components")), level + 1);
  }
}
