// `wharfinger validate`: files and folders, judged offline. A verdict for each document, by file, line and field.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { findConflicts, type JudgedResource } from "./conflicts.ts";
import { readDocuments, type ResourceDocument, type SourceFile } from "./documents.ts";
import { findDangling } from "./references.ts";
import { notImplemented } from "./not-implemented.ts";
import { validateResource } from "./validate-resource.ts";
import { maxFileBytes } from "./yaml.ts";

export type Severity = "error" | "warning" | "note";

export interface Finding {
  readonly file: string;
  readonly line: number | undefined;
  /** `spec.prefix`; absent when it is about the document or the file. */
  readonly path?: string;
  readonly severity: Severity;
  readonly message: string;
}

export interface DocumentVerdict {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `upstreams.yaml:12`. */
  readonly source: string;
  readonly verdict: "valid" | "not-implemented" | "invalid";
  readonly findings: readonly Finding[];
}

export interface FilesReport {
  /** No error anywhere. */
  readonly valid: boolean;
  readonly documents: readonly DocumentVerdict[];
  /** What is wrong with files and with documents that are no resources. */
  readonly problems: readonly Finding[];
}

/** Files by name, folders with everything in them that ends in .yaml, .yml or .json (hidden ones aside). */
export async function validateFiles(paths: readonly string[]): Promise<FilesReport> {
  const { files, problems } = await readFiles(paths);
  const read = readDocuments(files);
  const judged: JudgedResource[] = [];
  const findings = new Map<ResourceDocument, Finding[]>();
  for (const document of read.resources) {
    const { accepted, found } = judgeDocument(document);
    findings.set(document, found);
    if (accepted !== undefined) judged.push(accepted);
  }
  for (const { resource, path, message, reason } of findConflicts(judged, { order: "files" })) {
    const document = read.resources.find(
      ({ kind, namespace, name }) => kind === resource.kind && namespace === resource.namespace && name === resource.name,
    );
    // References are judged below, also of documents that are not valid.
    if (reason === "DependencyNotReady" || document === undefined) continue;
    // Of two Upstreams one is not served, in whatever order they come; of two policies both are, and one of them leaves that image.
    const severity = resource.kind === "Upstream" ? "error" : "warning";
    findings.get(document)?.push(finding(document, { path, message, severity }));
  }
  const isWrong = (document: ResourceDocument) => (findings.get(document) ?? []).some(({ severity }) => severity === "error");
  for (const { document, path, message, final } of findDangling(read, isWrong)) {
    findings.get(document)?.push(finding(document, { path, message, severity: final ? "error" : "warning" }));
  }
  const documents = [
    ...read.resources.map((document) => verdictOf(document, findings.get(document) ?? [])),
    ...read.secrets.map(({ kind, namespace, name, source }) => ({
      kind,
      namespace,
      name,
      source,
      verdict: "valid" as const,
      findings: [],
    })),
  ];
  const documentProblems = read.problems.map(({ source, line, message }): Finding => ({ file: source, line, severity: "error", message }));
  const all = [...problems, ...documentProblems];
  return { valid: all.length === 0 && documents.every(({ verdict }) => verdict !== "invalid"), documents, problems: all };
}

function judgeDocument(document: ResourceDocument): { readonly accepted: JudgedResource | undefined; readonly found: Finding[] } {
  const { kind, namespace, name } = document;
  const judgement = validateResource(document);
  const elsewhere = namespace === administrators ? [] : [finding(document, namespaceWarning(namespace))];
  if (judgement.problems !== undefined) {
    return {
      accepted: undefined,
      found: [...judgement.problems.map(({ path, message }) => finding(document, { path, message, severity: "error" })), ...elsewhere],
    };
  }
  const { stalled, notes } = notImplemented(kind, judgement.spec);
  const found = [
    ...judgement.warnings.map((message) =>
      finding(document, { path: /^spec\S*(?=[: ])/.exec(message)?.[0].replace(/:$/, ""), message, severity: "warning" }),
    ),
    ...stalled.map(({ path, message }) => finding(document, { path, message: `NotImplemented: ${message}`, severity: "warning" })),
    ...notes.map(({ path, message }) => finding(document, { path, message, severity: "note" })),
    ...elsewhere,
  ];
  // As where it is served: what is not built yet is not recorded, so it is in nobody's way.
  const accepted = stalled.length > 0 ? undefined : ({ kind, namespace, name, spec: judgement.spec } as JudgedResource);
  return { accepted, found };
}

/** The namespace that needs no grant, in standalone mode. */
const administrators = "default";

function namespaceWarning(namespace: string) {
  const message = `namespace ${namespace} needs a grant in the settings (tenants): without one this is not served`;
  return { path: "metadata.namespace", message, severity: "warning" } as const;
}

function finding(
  document: ResourceDocument,
  { path, message, severity }: { path: string | undefined; message: string; severity: Severity },
): Finding {
  const file = document.source.replace(/:\d+$/, "");
  return { file, line: document.lineOf(path ?? ""), ...(path !== undefined && { path }), severity, message };
}

function verdictOf({ kind, namespace, name, source }: ResourceDocument, findings: readonly Finding[]): DocumentVerdict {
  const invalid = findings.some(({ severity }) => severity === "error");
  const later = findings.some(({ message }) => message.startsWith("NotImplemented: "));
  const verdict = invalid ? "invalid" : later ? "not-implemented" : "valid";
  return { kind, namespace, name, source, verdict, findings };
}

/** One line a finding, as editors and CI know it: `file:line: field: message`. */
export function formatFinding({ file, line, path, severity, message }: Finding): string {
  const place = [file, line].filter((part) => part !== undefined).join(":");
  const word = severity === "error" ? "" : `${severity}: `;
  return `${place}: ${word}${path === undefined || message.startsWith(path) ? "" : `${path}: `}${message}`;
}

async function readFiles(paths: readonly string[]): Promise<{ readonly files: SourceFile[]; readonly problems: Finding[] }> {
  const files: SourceFile[] = [];
  const problems: Finding[] = [];
  for (const path of paths) {
    try {
      for (const name of await listFiles(path)) {
        const { size } = await stat(name);
        if (size > maxFileBytes) problems.push(fileProblem(name, `is larger than ${maxFileBytes / 1024 / 1024} MiB: split it`));
        else files.push({ name, text: await readFile(name, "utf8") });
      }
    } catch (error) {
      problems.push(fileProblem(path, `cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`));
    }
  }
  return { files, problems };
}

function fileProblem(file: string, message: string): Finding {
  return { file, line: undefined, severity: "error", message };
}

/** Sorted by name, so that of two equal documents the same one counts everywhere. Links to folders are not followed, they may lead back. */
export async function listFiles(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = (await readdir(path, { withFileTypes: true })).filter(({ name }) => !name.startsWith("."));
  const files: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) files.push(...(await listFiles(inside)));
    else if (/\.(?:ya?ml|json)$/.test(entry.name) && (await isFile(inside))) files.push(inside);
  }
  return files;
}

/** A link that leads nowhere is no file: editors leave such locks beside what they edit. */
async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
