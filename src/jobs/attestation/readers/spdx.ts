// SPDX 2.2 and 2.3 JSON, SPDX 3 JSON-LD: the package by its name or purl.

import { AttestationError } from "../failure.ts";
import { field, list, parseJson, text, type Json } from "../hostile-json.ts";
import { versionOf, type NamedPackage, type Reader } from "./reading.ts";

const limits = { maxDepth: 64, maxTokens: 2_000_000, maxNames: 100_000 };

export const readSpdx: Reader = (predicate, parameter) => versionOf(packagesOf(unwrap(predicate)), parameter);

/** `cosign attest --type spdx` puts the document into a string, whatever its form; JSON inside is read, tag-value is not. */
function unwrap(predicate: Json): Json {
  if (typeof predicate !== "string") return predicate;
  try {
    return parseJson(Buffer.from(predicate), limits);
  } catch (error) {
    throw new AttestationError(
      "DocumentInvalid",
      `the SPDX document is not JSON (${(error as Error).message}); attach it with --type spdxjson`,
    );
  }
}

function packagesOf(document: Json): NamedPackage[] {
  if (text(field(document, "spdxVersion"))?.startsWith("SPDX-2.") === true) return list(field(document, "packages")).map(readPackage2);
  const context = field(document, "@context");
  if ([context, ...list(context)].some((entry) => text(entry)?.startsWith("https://spdx.org/rdf/3.") === true)) {
    return list(field(document, "@graph"))
      .filter((element) => text(field(element, "type")) === "software_Package")
      .map(readPackage3);
  }
  throw new AttestationError("DocumentInvalid", "neither SPDX 2 (spdxVersion) nor SPDX 3 (@context)");
}

function readPackage2(entry: Json): NamedPackage {
  const references = list(field(entry, "externalRefs")).filter((reference) => text(field(reference, "referenceType")) === "purl");
  return {
    name: text(field(entry, "name")),
    version: text(field(entry, "versionInfo")),
    purls: references.map((reference) => text(field(reference, "referenceLocator"))).filter((purl) => purl !== undefined),
  };
}

function readPackage3(entry: Json): NamedPackage {
  const identifiers = list(field(entry, "externalIdentifier"))
    .filter((identifier) => /^package-?url$/i.test(text(field(identifier, "externalIdentifierType")) ?? ""))
    .map((identifier) => text(field(identifier, "identifier")));
  return {
    name: text(field(entry, "name")),
    version: text(field(entry, "software_packageVersion")),
    purls: [text(field(entry, "software_packageUrl")), ...identifiers].filter((purl) => purl !== undefined),
  };
}
