// What our own validation says of a document, offline, is what an API server says of it: the same verdict, the same words where they are ours, the
// same defaults.

import { beforeAll, describe, expect, test } from "vitest";

import { kinds } from "../../src/domain/resource.ts";
import type { Problem } from "../../src/validation/problem.ts";
import { documentCases, judge, type DocumentCase } from "../support/documents.ts";
import type { Answer, Failure, KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { accepted, create, update, type StoredResource } from "../support/resource-api.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let api: KubernetesApi;
let namespace: string;
beforeAll(async () => {
  api = await sharedApiServer();
  namespace = await createNamespace(api);
});

/** The server's answer to a document, or to its change. */
async function send({ document, before }: DocumentCase): Promise<Answer<StoredResource | Failure>> {
  if (before === undefined) return create(api, document, { namespace, dryRun: true });
  const own = await createNamespace(api);
  const over = accepted(await create(api, before, { namespace: own }));
  return update(api, document, { namespace: own, over });
}

/** What an API server calls a problem that the schema, and not a rule of ours, has found. */
const reasons: Readonly<Record<string, readonly string[]>> = {
  required: ["FieldValueRequired"],
  type: ["FieldValueTypeInvalid", "FieldValueInvalid"],
  enum: ["FieldValueNotSupported"],
  maxLength: ["FieldValueTooLong"],
  maxItems: ["FieldValueTooMany"],
  duplicate: ["FieldValueDuplicate"],
};

/** The words of a problem of ours if the server has said the same (what it calls it, where the words are not ours), else all that it has said. */
function inWordsOf({ path, message, rule }: Problem, { message: whole, details }: Failure): string {
  if (rule === "unknown-field") return whole.includes(`unknown field "${path}"`) ? message : whole;
  // A rule of the whole object has no field.
  const field = path === "metadata.name" ? "<nil>" : path;
  const causes = (details?.causes ?? []).filter((cause) => cause.field === field);
  // An expression that fails has its reason behind our words here, and before them there.
  const words = message.replace(/ \(.*\)$/s, "");
  const expected = reasons[rule] ?? ["FieldValueInvalid"];
  const same = causes.some(({ message: said = "", reason = "" }) => (rule === "cel" ? said.includes(words) : expected.includes(reason)));
  return same ? message : whole;
}

describe.each(kinds)("%s", (kind) => {
  test.each(documentCases(kind, "valid").map((entry) => [entry.rule, entry] as const))(
    "%s: accepted, with our defaults",
    async (_, entry) => {
      const ours = judge(entry);
      if (ours.problems !== undefined) throw new Error(JSON.stringify(ours.problems));
      expect(accepted(await send(entry)).spec).toEqual({ ...ours.spec, suspend: ours.suspend });
    },
  );

  test.each(documentCases(kind, "invalid").map((entry) => [entry.rule, entry] as const))(
    "%s: refused in our words",
    async (rule, entry) => {
      const answer = await send(entry);
      const problems = judge(entry).problems ?? [];
      expect(problems).not.toEqual([]);
      // What only code can check is for the operator to say.
      if (rule.startsWith("code-")) return void accepted(answer);
      // Fields that nobody knows are refused before anything else is looked at.
      const unknown = problems.filter(({ rule }) => rule === "unknown-field");
      expect(answer.status).toBe(unknown.length > 0 ? 400 : 422);
      const comparable = unknown.length > 0 ? unknown : problems;
      expect(comparable.map((problem) => inWordsOf(problem, answer.body as Failure))).toEqual(comparable.map(({ message }) => message));
    },
  );
});
