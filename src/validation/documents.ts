// Files of a configuration folder: what resources, Secrets and ConfigMaps their documents are, and what is wrong with them, by file and line.

import { apiVersion as ourVersion, isKind, kinds, type Kind } from "../domain/resource.ts";
import type { SecretData } from "../domain/secrets.ts";
import { specSchemaOf } from "./crds.ts";
import { readMetadata } from "./metadata.ts";
import type { Problem } from "./problem.ts";
import { readSecretData } from "./secret-documents.ts";
import { isObject } from "./structure.ts";
import { closest, didYouMean } from "./suggestion.ts";
import { readYaml, type YamlDocument } from "./yaml.ts";

/** A resource as it was found, not yet judged. The shape of the operator's ObservedResource. */
export interface ResourceDocument {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  /** A folder counts no generations, whatever the file says. */
  readonly generation: undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: unknown;
  /** `upstreams.yaml:12`. */
  readonly source: string;
  /** Line of a field (1-based), or of the nearest one around it. */
  lineOf(path: string): number;
}

export interface SecretDocument {
  readonly kind: "Secret" | "ConfigMap";
  readonly namespace: string;
  readonly name: string;
  readonly source: string;
  readonly data: SecretData;
}

/** A document that is not even a resource, or a file that is no YAML. */
export interface DocumentProblem {
  /** The file. */
  readonly source: string;
  readonly line: number | undefined;
  readonly message: string;
  /** `default/hub`, when it could be read. */
  readonly resource?: string;
}

export interface Documents {
  readonly resources: readonly ResourceDocument[];
  readonly secrets: readonly SecretDocument[];
  readonly problems: readonly DocumentProblem[];
}

export interface SourceFile {
  /** How messages name it. */
  readonly name: string;
  readonly text: string;
}

/** One file by itself, to be joined with others. */
export interface FileDocuments {
  readonly name: string;
  readonly problems: readonly DocumentProblem[];
  readonly documents: readonly (ReadDocument & { readonly line: number })[];
}

/** Reads files in the given order. Of two documents with the same kind, namespace and name the first counts, the second is a problem. */
export function readDocuments(files: readonly SourceFile[]): Documents {
  return joinDocuments(files.map(readFileDocuments));
}

/** The costly part of the reading: what it answers stays true as long as the text does. */
export function readFileDocuments({ name, text }: SourceFile): FileDocuments {
  const { problems, documents } = readYaml(text);
  return {
    name,
    problems: problems.map(({ line, message }) => ({ source: name, line, message })),
    documents: documents.map((document) => ({ ...readDocument(document, name), line: document.line })),
  };
}

/** As readDocuments, of files that were read before. */
export function joinDocuments(files: readonly FileDocuments[]): Documents {
  const resources: ResourceDocument[] = [];
  const secrets: SecretDocument[] = [];
  const problems: DocumentProblem[] = [];
  const places = new Map<string, string>();

  for (const file of files) {
    problems.push(...file.problems);
    for (const read of file.documents) {
      problems.push(...read.problems);
      const found = read.resource ?? read.secret;
      if (found === undefined) continue;
      const identity = `${found.kind} ${found.namespace}/${found.name}`;
      const first = places.get(identity);
      if (first !== undefined) {
        const message = `${identity} is already in ${first}, which counts: remove one of them, or give it another name`;
        problems.push({ source: file.name, line: read.line, message, resource: identity });
        continue;
      }
      places.set(identity, found.source);
      if (read.resource !== undefined) resources.push(read.resource);
      if (read.secret !== undefined) secrets.push(read.secret);
    }
  }
  return { resources, secrets, problems };
}

interface ReadDocument {
  readonly resource?: ResourceDocument;
  readonly secret?: SecretDocument;
  readonly problems: readonly DocumentProblem[];
}

function readDocument(document: YamlDocument, file: string): ReadDocument {
  const { value, line } = document;
  const place = (found: readonly Problem[]): DocumentProblem[] =>
    found.map(({ path, message }) => ({
      source: file,
      line: path === "" ? line : document.lineOf(path),
      message: path === "" ? message : `${path}: ${message}`,
    }));
  if (!isObject(value))
    return { problems: place([{ path: "", message: "is no resource: a document has apiVersion, kind, metadata and spec", rule: "type" }]) };

  const kind = judgeKind(value);
  if (kind === "ignored") return { problems: [] };
  if (typeof kind !== "string") return { problems: place([kind]) };
  const { metadata, problems } = readMetadata(value["metadata"]);
  if (metadata === undefined || problems.length > 0) return { problems: place(problems) };
  const { namespace, name, annotations } = metadata;
  const source = `${file}:${line}`;

  if (kind === "Secret" || kind === "ConfigMap") {
    const { data, problems: wrong } = readSecretData(kind, value);
    return wrong.length > 0 ? { problems: place(wrong) } : { secret: { kind, namespace, name, source, data }, problems: [] };
  }
  const known = ["apiVersion", "kind", "metadata", "spec", "status"];
  const unknown = Object.keys(value).filter((field) => !known.includes(field));
  if (unknown.length > 0) {
    return {
      problems: place(
        unknown.map((field) => ({
          path: field,
          message: Object.hasOwn(specSchemaOf(kind).properties ?? {}, field)
            ? "is a field of spec: indent it below spec"
            : `is no field of a resource${didYouMean(field, known)}`,
          rule: "unknown-field",
        })),
      ),
    };
  }
  return {
    resource: {
      kind,
      namespace,
      name,
      generation: undefined,
      annotations,
      spec: value["spec"],
      source,
      lineOf: (path) => document.lineOf(path),
    },
    problems: [],
  };
}

const ourGroup = ourVersion.split("/")[0] ?? "";
/** Documents that GitOps folders have beside resources. Nothing is lost when they are passed over. */
const ignoredDocuments = new Set([
  "kustomize.config.k8s.io/v1beta1 Kustomization",
  "kustomize.config.k8s.io/v1alpha1 Component",
  "v1 Namespace",
]);

function judgeKind(value: Readonly<Record<string, unknown>>): Kind | "Secret" | "ConfigMap" | "ignored" | Problem {
  const { apiVersion, kind } = value;
  const problem = (path: string, message: string): Problem => ({ path, message, rule: "kind" });
  if (typeof kind !== "string") return problem("kind", `is required: one of ${kinds.join(", ")}, Secret, ConfigMap`);
  if (typeof apiVersion !== "string")
    return problem("apiVersion", `is required: ${isKind(kind) ? ourVersion : `${ourVersion} for our kinds, v1 for Secret and ConfigMap`}`);
  if (ignoredDocuments.has(`${apiVersion} ${kind}`)) return "ignored";
  if (kind === "Secret" || kind === "ConfigMap") return apiVersion === "v1" ? kind : problem("apiVersion", `of a ${kind} must be v1`);
  if (isKind(kind)) return apiVersion === ourVersion ? kind : problem("apiVersion", versionMessage(apiVersion));
  if (apiVersion === "v1" && kind === "List")
    return problem("kind", "List is not read: write its items as documents of their own, with --- between them");
  const guess = closest(kind, [...kinds, "Secret", "ConfigMap"]);
  if (apiVersion.startsWith(`${ourGroup}/`) || guess !== undefined) {
    return problem(
      "kind",
      `${kind} is no kind of ours${guess === undefined ? `: there are ${kinds.join(", ")}` : `; did you mean ${guess}?`}`,
    );
  }
  return problem("kind", `${apiVersion} ${kind} is nothing that Wharfinger reads: keep it in another folder`);
}

function versionMessage(apiVersion: string): string {
  if (apiVersion.startsWith("record.")) return `${apiVersion} is the form of the record's files, not of resources: write ${ourVersion}`;
  if (apiVersion.startsWith(`${ourGroup}/`)) return `${apiVersion} is not served: write ${ourVersion}`;
  return `must be ${ourVersion}`;
}
