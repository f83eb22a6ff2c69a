// The list of all packages in the image (SPDX 2.3): npm's own, with Debian's beside it. `node inventory.mjs ARCHITECTURE ROOT`. Plain Node.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [architecture, root] = process.argv.slice(2);
const folder = "/image/debian";
const npm = JSON.parse(readFileSync("/image/npm.spdx.json", "utf8"));
const program = npm.documentDescribes[0];
const debian = readdirSync(folder)
  .filter((name) => !name.endsWith(".md5sums"))
  .sort()
  .map((name) => debianPackage(fieldsOf(readFileSync(join(folder, name), "utf8"))));

const packages = [
  ...npm.packages.map((entry) => (entry.SPDXID === program ? { ...entry, primaryPackagePurpose: "APPLICATION" } : entry)),
  ...debian,
];
const relationships = [
  ...npm.relationships,
  ...debian.map(({ SPDXID }) => ({ spdxElementId: program, relatedSpdxElement: SPDXID, relationshipType: "CONTAINS" })),
];
const digest = createHash("sha256")
  .update(JSON.stringify([packages, relationships]))
  .digest("hex");
const document = {
  ...npm,
  name: `wharfinger-${architecture}`,
  // Of its content and of no clock, so that two builds of the same are the same.
  documentNamespace: `https://spdx.org/spdxdocs/wharfinger-${architecture}-${digest}`,
  creationInfo: { ...npm.creationInfo, created: "1970-01-01T00:00:00Z" },
  packages,
  relationships,
};

const file = join(root, "usr/share/doc/wharfinger/sbom.spdx.json");
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(document, null, 1)}\n`);

function debianPackage({ Package: name, Version: version, Architecture: built, Maintainer: maintainer, Source: source }) {
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${built}&distro=debian-13`;
  return {
    name,
    SPDXID: `SPDXRef-Debian-${name.replaceAll(/[^A-Za-z0-9.-]/g, "-")}`,
    versionInfo: version,
    supplier: `Organization: ${maintainer}`,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    // The package's own words are in usr/share/doc/<name>/copyright.
    licenseDeclared: "NOASSERTION",
    ...(source === undefined ? {} : { sourceInfo: `built from: ${source}` }),
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
  };
}

/** First lines of a control file's fields. */
function fieldsOf(text) {
  return Object.fromEntries([...text.matchAll(/^([A-Za-z-]+): (.*)$/gm)].map(([, name, value]) => [name, value]));
}
