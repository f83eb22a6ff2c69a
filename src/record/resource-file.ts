// The file of one resource: rendered the same way every time, read with the same rules as any other content.

import { stringify } from "yaml";

import { recordApiVersion } from "../api/conditions.ts";
import type { ResourceKey } from "../domain/resource.ts";
import { validateResource } from "../validation/validate-resource.ts";
import { isProblem, fileLimits, parseYaml, type FileProblem } from "./yaml-file.ts";

export interface ResourceFile {
  /** Effective spec. */
  readonly spec: unknown;
  /** Remarks that refuse nothing. */
  readonly warnings: readonly FileProblem[];
}

const ownFields = new Set(["apiVersion", "kind", "metadata", "spec"]);

/** Same input, same bytes: fields sorted, lists as they are. `before`: the file that is replaced; fields this release does not know are kept. */
export function renderResource(key: ResourceKey, spec: unknown, before?: Buffer): string {
  const document = {
    apiVersion: recordApiVersion,
    kind: key.kind,
    metadata: { name: key.name, namespace: key.namespace },
    spec: sorted(spec),
    ...unknownFields(before),
  };
  return stringify(document, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** Reads a file of the record. Never throws: a file that is not valid is a problem with its line. `previous`: the spec that counted before it. */
export function readResource(path: string, key: ResourceKey, bytes: Buffer, previous?: unknown): ResourceFile | FileProblem {
  const file = parseYaml(path, bytes, fileLimits.resource);
  if (isProblem(file)) return file;
  const content: unknown = file.document.toJS();
  const wrong = (field: string, message: string): FileProblem => ({ path, line: file.lineOf(field), message });
  if (!isMap(content)) return wrong("", "is not a map of fields");
  const form = refuseForm(content["apiVersion"]);
  if (form !== undefined) return wrong("apiVersion", form);
  if (content["kind"] !== key.kind) return wrong("kind", `kind: is not ${key.kind}, which this folder holds`);
  const metadata = isMap(content["metadata"]) ? content["metadata"] : {};
  if (metadata["name"] !== key.name || metadata["namespace"] !== key.namespace) {
    return wrong("metadata", `metadata: is not ${key.namespace}/${key.name}, which the file is named after`);
  }
  // A file may be of a newer release than this one: fields we do not know refuse nothing.
  const verdict = validateResource({ ...key, spec: content["spec"] }, { previous, unknownFields: "warn" });
  if (verdict.problems !== undefined) {
    const [problem] = verdict.problems;
    return wrong(problem?.path ?? "", `${problem?.path ?? ""} ${problem?.message ?? "is not valid"}`.trim());
  }
  const strangers = Object.keys(content).filter((field) => !ownFields.has(field));
  return {
    spec: verdict.spec,
    warnings: [
      ...verdict.warnings.map((warning) => wrong(warning.split(" ")[0] ?? "", warning)),
      ...strangers.map((field) => wrong(field, `${field}: unknown field, kept and ignored`)),
    ],
  };
}

function refuseForm(apiVersion: unknown): string | undefined {
  if (apiVersion === recordApiVersion) return undefined;
  if (typeof apiVersion === "string" && /^record\.wharfinger\.dev\/v\d/.test(apiVersion)) {
    return `apiVersion: ${apiVersion} is a newer form than ${recordApiVersion}: a newer Wharfinger wrote it`;
  }
  return `apiVersion: is not ${recordApiVersion}`;
}

function unknownFields(before: Buffer | undefined): Record<string, unknown> {
  if (before === undefined) return {};
  const file = parseYaml("", before, fileLimits.resource);
  const content: unknown = isProblem(file) ? undefined : file.document.toJS();
  return isMap(content) ? Object.fromEntries(Object.entries(content).filter(([field]) => !ownFields.has(field))) : {};
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isMap(value)) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, sorted(field)]));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
