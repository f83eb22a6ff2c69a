// `_ledger.yaml`: the versions of one image. A change edits the document it found, so comments, order and fields we do not know stay.

import { Document, isMap, isSeq } from "yaml";
import { Compile } from "typebox/compile";

import { LedgerDocument } from "../api/control/record.ts";
import type { Build, Ledger } from "../domain/ledger.ts";
import { isTag } from "../domain/reference.ts";
import { isProblem, fileLimits, parseYaml, type FieldPath, type FileProblem } from "./yaml-file.ts";

const check = Compile(LedgerDocument);
const maps = ["tags", "pinned", "retired"] as const;

/** Never throws: a file that is not valid is a problem with its line. */
export function readLedger(path: string, bytes: Buffer): Ledger | FileProblem {
  const file = parseYaml(path, bytes, fileLimits.ledger);
  if (isProblem(file)) return file;
  const content: unknown = file.document.toJS();
  const wrong = (field: FieldPath, message: string): FileProblem => ({ path, line: file.lineOf(field), message });
  if (typeof content !== "object" || content === null || Array.isArray(content)) return wrong("", "is not a map of fields");
  // A section without entries may be left out, or empty.
  const sections: Record<string, unknown> = { builds: [], tags: {}, pinned: {}, retired: {} };
  const given = Object.entries(content).filter(([, value]) => value !== null);
  const ledger: unknown = { ...sections, ...Object.fromEntries(given) };
  if (!check.Check(ledger)) {
    const [error] = check.Errors(ledger);
    const field = (error?.instancePath ?? "")
      .split("/")
      .slice(1)
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    return wrong(field, `${field.length === 0 ? "" : `${field.join(".")}: `}${error?.message ?? "is not a ledger"}`);
  }
  const names = maps.flatMap((section) => Object.keys(ledger[section]).map((tag) => ({ section, tag })));
  const bad = names.find(({ tag }) => !isTag(tag));
  if (bad !== undefined) return wrong([bad.section, bad.tag], `${bad.section}: "${bad.tag}" is not a tag`);
  const { image, builds, tags, pinned, retired } = ledger;
  return { image, builds, tags, pinned, retired } as Ledger;
}

/** The file after a change. `before`: the bytes there now (valid), undefined for a new file. */
export function writeLedger(ledger: Ledger, before?: Buffer): string {
  const file = before === undefined ? undefined : parseYaml("", before, fileLimits.ledger);
  const document = file === undefined || isProblem(file) ? new Document({ image: ledger.image }) : file.document;
  if (!document.has("image")) document.set("image", ledger.image);
  appendBuilds(document, ledger);
  for (const section of maps) writeMap(document, section, ledger[section]);
  return document.toString({ lineWidth: 0 });
}

/** Builds are only ever added, at the end; a person may have taken some out. */
function appendBuilds(document: Document, ledger: Ledger): void {
  const list = document.get("builds");
  const known = new Set((isSeq(list) ? (list.toJSON() as Ledger["builds"]) : []).map(identity));
  const added = ledger.builds.filter((build) => !known.has(identity(build))).map(inOrder);
  if (!isSeq(list) || list.items.length === 0) document.set("builds", document.createNode(added));
  else for (const build of added) list.add(document.createNode(build));
}

/** As a person reads it, whoever wrote the build: a database has an order of its own. */
function inOrder({ version, digest, sourceTag, seen, evidence, ...rest }: Build): Build {
  const { type, attestation, predicateType, key, issuer, subject, logIndex, signed, rootVersion, platforms, ...more } = evidence;
  const said = { type, attestation, predicateType, key, issuer, subject, logIndex, signed, rootVersion, platforms, ...more };
  const stated = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as unknown as Build["evidence"];
  return { version, digest, sourceTag, seen, evidence: stated, ...rest };
}

function identity(build: { version: string; digest: string; sourceTag: string }): string {
  return `${build.version} ${build.digest} ${build.sourceTag}`;
}

function writeMap(document: Document, section: (typeof maps)[number], wanted: Readonly<Record<string, unknown>>): void {
  const found = document.get(section);
  if (!isMap(found) || found.items.length === 0) {
    if (section === "tags" || Object.keys(wanted).length > 0) document.set(section, document.createNode(wanted));
    return;
  }
  const known = found.toJSON() as Record<string, unknown>;
  for (const tag of Object.keys(known)) if (!Object.hasOwn(wanted, tag)) found.delete(tag);
  for (const [tag, value] of Object.entries(wanted)) {
    if (JSON.stringify(known[tag]) !== JSON.stringify(value)) found.set(tag, document.createNode(value));
  }
}
