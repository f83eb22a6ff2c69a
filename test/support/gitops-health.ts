// What Flux and Argo CD make of a resource, by the expressions and the script of deploy/.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { Environment } from "@marcbachmann/cel-js";
import { parse, parseAllDocuments } from "yaml";

import type { Kind } from "../../src/domain/resource.ts";
import { use } from "./programs.ts";
import type { StoredResource } from "./resource-api.ts";

const deploy = resolve(import.meta.dirname, "../../deploy");

interface Expressions {
  readonly apiVersion: string;
  readonly kind: string;
  readonly inProgress?: string;
  readonly failed?: string;
  readonly current: string;
}
interface FluxObject {
  readonly kind: string;
  readonly spec: { readonly healthCheckExprs?: readonly Expressions[] };
}

/** As Flux's RFC 0009 has it: an old generation is in progress; then the expressions, in this order; else it is in progress. Rejects where Flux reports an error. */
export async function fluxHealth(kind: Kind, object: StoredResource): Promise<"InProgress" | "Failed" | "Current"> {
  const documents = parseAllDocuments(await readFile(resolve(deploy, "flux/resources.yaml"), "utf8")).map(
    (each) => each.toJS() as FluxObject,
  );
  const all = documents.flatMap(({ spec }) => spec.healthCheckExprs ?? []);
  const expressions = all.find((each) => each.kind === kind && each.apiVersion === "wharfinger.dev/v1alpha1");
  if (expressions === undefined) throw new Error(`deploy/flux/resources.yaml has no expressions for ${kind}`);
  if (object.status?.["observedGeneration"] !== undefined && object.status["observedGeneration"] !== object.metadata.generation)
    return "InProgress";
  const environment = new Environment({ unlistedVariablesAreDyn: true });
  const holds = (expression: string | undefined) => expression !== undefined && environment.evaluate(expression, { ...object }) === true;
  if (holds(expressions.inProgress)) return "InProgress";
  if (holds(expressions.failed)) return "Failed";
  return holds(expressions.current) ? "Current" : "InProgress";
}

export interface ArgoHealth {
  readonly status: string;
  readonly message: string;
}

/** Argo CD's Lua is 5.1, with the object in `obj`. */
export async function argoHealth(kind: Kind, object: StoredResource): Promise<ArgoHealth> {
  const { data } = parse(await readFile(resolve(deploy, "argocd/health.yaml"), "utf8")) as { data: Readonly<Record<string, string>> };
  const script = data[`resource.customizations.health.wharfinger.dev_${kind}`];
  if (script === undefined) throw new Error(`deploy/argocd/health.yaml has no script for ${kind}`);
  const input = `local obj = ${lua(object)}
    local function health() ${script} end
    local found = health()
    io.write(found.status, "\\n", found.message)`;
  const [status = "", ...message] = (await use("lua5.1", ["-"], { input })).split("\n");
  return { status, message: message.join("\n") };
}

/** JSON as Lua writes it. */
function lua(value: unknown): string {
  if (value === null || value === undefined) return "nil";
  if (Array.isArray(value)) return `{${value.map(lua).join(", ")}}`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, item]) => `[${lua(key)}] = ${lua(item)}`)
      .join(", ")}}`;
  if (typeof value !== "string") return JSON.stringify(value);
  return `"${[...Buffer.from(value)].map((byte) => `\\${String(byte).padStart(3, "0")}`).join("")}"`;
}
