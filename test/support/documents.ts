// The documents of test/documents/<kind>/<rule>.{valid,invalid}.yaml: one of each for every rule of the four kinds. The leading comments of an
// invalid one are what the person must read, word for word. Of two documents in a file the first is what counted before. Rules whose name
// starts with `code-` are ours alone: an API server accepts those documents.

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import type { Kind } from "../../src/domain/resource.ts";
import { readDocuments, type ResourceDocument } from "../../src/validation/documents.ts";
import { validateResource } from "../../src/validation/validate-resource.ts";

export const documentsFolder = resolve(import.meta.dirname, "../documents");

export interface DocumentCase {
  readonly kind: Kind;
  readonly rule: string;
  readonly expected: readonly string[];
  /** What counted before, where the file has two documents. */
  readonly before?: ResourceDocument;
  readonly document: ResourceDocument;
}

/** `folder`: of another version's documents. */
export function documentCases(kind: Kind, suffix: "valid" | "invalid", folder = documentsFolder): DocumentCase[] {
  const of = join(folder, kind.toLowerCase());
  return readdirSync(of)
    .filter((file) => file.endsWith(`.${suffix}.yaml`))
    .map((file) => {
      const text = readFileSync(join(of, file), "utf8");
      const read = text.split(/^---$/m).map((part) => {
        const { resources, problems } = readDocuments([{ name: file, text: part }]);
        if (resources[0] === undefined) throw new Error(`${file}: ${JSON.stringify(problems)}`);
        return resources[0];
      });
      const document = read.at(-1);
      if (document === undefined || read.length > 2) throw new Error(`${file} has ${read.length} documents`);
      const expected = [...text.matchAll(/^# (.*)$/gm)].map(([, line = ""]) => line);
      const before = read.length === 2 ? read[0] : undefined;
      return { kind, rule: file.slice(0, -`.${suffix}.yaml`.length), expected, document, ...(before !== undefined && { before }) };
    });
}

/** What our own validation says of it, as the standalone mode and the record ask. */
export function judge({ document, before }: DocumentCase): ReturnType<typeof validateResource> {
  if (before === undefined) return validateResource(document);
  const old = validateResource(before);
  if (old.problems !== undefined) throw new Error(`the first document is invalid: ${JSON.stringify(old.problems)}`);
  return validateResource(document, { previous: old.spec });
}
