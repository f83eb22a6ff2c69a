// Documents that nobody wrote: valid ones with something else in one place. Whatever it is, our validation and the API server agree on it, so that a
// file which standalone mode or the record accepts can be applied to a cluster, and the other way round.

import { array, assert, asyncProperty, constantFrom, oneof, type Arbitrary } from "fast-check";
import { beforeAll, expect, test } from "vitest";

import { kinds } from "../../src/domain/resource.ts";
import { specSchemaOf, type Schema } from "../../src/validation/crds.ts";
import { isObject } from "../../src/validation/structure.ts";
import { validateResource } from "../../src/validation/validate-resource.ts";
import { documentCases } from "../support/documents.ts";
import type { Failure, KubernetesApi } from "../support/kubernetes-access.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { create, type WrittenResource } from "../support/resource-api.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let api: KubernetesApi;
let namespace: string;
beforeAll(async () => {
  api = await sharedApiServer();
  namespace = await createNamespace(api);
});

const texts = [
  ["", " ", "a", "A", "ä", "\u{1f4e6}", "-a", ".a", "a.", "_", "a b", "a\n", "\u0000", "null", "~", "true"],
  ["0s", "1h", "1.5h", "1h30m", "90d", "0.5ms", "87600h", "87600h1ms", "9999999999999h", "1us", "h", "-1h", "1e3s"],
  ["https://x", "http://x", "https://x/", "https://x:0", "https://x:65536", "https://[::1]:443", "https://a@b", "https://x?y", "ftp://x"],
  ["docker.io", "Docker.io", "docker.io:5000", "docker.io:", "[::1]", "a/b", "a//b", "/a", "a/", "a..b", "a__b", "a___b", "a--b"],
  ["*", "**", "a/**", "a**", "**b", "a/*b/**", "v2", "api", "latest", "1.27.3", "{version}", "{", "{}", "v{major}.{minor}", "-{version}"],
  ["$1", "$", "${v}", "(", ")", "(?=a)", "(a)\\1", "(?P<v>a)", "(?<v>a)", "a{1001}", "a{1000}", "a**", "[[:alpha:]]", "\\pL", "\\p{Greek}"],
  ["\\Q(\\E", "\\C", "\\z", "\\Z", "(?i)x", "(?x)a", "[a-", "[z-a]", "x{2,1}", "\\8", "^v.*$", "(?:)", "a|*"],
  ["* * * * *", "0 3 * * *", "0 0 3 * * *", "@daily", "\t* * * * *", "Etc/UTC", "+01:00", ">=1.25 <2", "1.2.3.4", "1.x.x.4"],
  ["Anonymous", "User", "ServiceAccount", "OIDC", "Group", "Verified", "Unverified", "Delete", "Minor", "generic", "aws", "SPDX"],
  ["linux/amd64", "linux/arm/v7", "linux", "100Gi", "0", "1.5Gi", "1G", "01Gi", "1KiB"],
  [63, 64, 65, 128, 129, 200, 201, 253, 255, 256, 257, 512, 513, 1025].map((length) => "a".repeat(length)),
].flat();
const numbers = [0, 1, -1, 2, 90, 91, 100, 101, 1000, 1001, 100_001, 1.5, 2 ** 31, 2 ** 53, 1e21, 1e-7];
const objects = [{}, { name: "x" }, { name: "" }, { x: 1 }, [{}], [{ name: "x" }, { name: "x" }], { secretRef: { name: "x" } }, [null]];

const text = constantFrom(...texts);
const anything: Arbitrary<unknown> = oneof(text, constantFrom(...numbers), constantFrom(true, false, null), constantFrom(...objects));

/** Mostly what a field may be, so that it is the rules that judge it. */
function valueFor({ type, enum: allowed, items, "x-kubernetes-int-or-string": quantity }: Schema): Arbitrary<unknown> {
  const fitting = () => {
    if (allowed !== undefined) return constantFrom(...allowed);
    if (type === "string") return text;
    if (type === "integer") return constantFrom(...numbers);
    if (type === "boolean") return constantFrom(true, false);
    if (quantity === true) return oneof(text, constantFrom(...numbers));
    return type === "array" ? array(valueFor(items ?? {}), { maxLength: 4 }) : constantFrom(...objects);
  };
  return oneof({ weight: 9, arbitrary: fitting() }, { weight: 1, arbitrary: anything });
}

type Path = readonly (string | number)[];

interface Place {
  readonly path: Path;
  readonly schema: Schema;
}

/** Where something can be put into a spec: its fields, those that the schema also has, and the entries of its lists. */
function placesIn(schema: Schema, here: unknown, path: Path = []): Place[] {
  if (Array.isArray(here)) {
    const items = schema.items ?? {};
    return here.flatMap((item, index) => [{ path: [...path, index], schema: items }, ...placesIn(items, item, [...path, index])]);
  }
  if (!isObject(here)) return [];
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const given = here[name] ?? (property.type === "object" ? {} : undefined);
    return [{ path: [...path, name], schema: property }, ...placesIn(property, given, [...path, name])];
  });
}

function put(here: unknown, [step, ...rest]: Path, changed: unknown): unknown {
  if (step === undefined) return changed;
  if (Array.isArray(here)) return here.map((item: unknown, index) => (index === step ? put(item, rest, changed) : item));
  const object = isObject(here) ? here : {};
  return { ...object, [step]: put(object[step], rest, changed) };
}

const cases = kinds.flatMap((kind) => documentCases(kind, "valid")).filter(({ document }) => document.name.length < 60);

const changed: Arbitrary<WrittenResource> = constantFrom(...cases).chain(({ document: { kind, name, spec } }) =>
  constantFrom(...placesIn(specSchemaOf(kind), spec)).chain(({ path, schema }) =>
    valueFor(schema).map((value) => ({ kind, name, spec: put(spec, path, value) })),
  ),
);

test("our validation and the API server agree", async () => {
  const verdicts = { accepted: 0, refused: 0 };
  const check = asyncProperty(changed, async (document) => {
    const ours = validateResource({ ...document, namespace });
    // What only code can check is for the operator to say.
    const problems = (ours.problems ?? []).filter(({ rule }) => !rule.startsWith("code-"));
    const { status, body } = await create(api, document, { namespace, dryRun: true });
    verdicts[problems.length === 0 ? "accepted" : "refused"] += 1;
    const theirs = status === 201 ? [] : [(body as Failure).message];
    if ((problems.length === 0) !== (theirs.length === 0)) throw new Error(JSON.stringify({ problems, theirs }, undefined, 1));
    const spec = ours.problems === undefined ? { ...ours.spec, suspend: ours.suspend } : {};
    expect(body).toMatchObject(ours.problems === undefined ? { spec } : {});
  });
  await assert(check, { numRuns: 500, seed: 35 });
  // Of both kinds there were many.
  expect(verdicts).toEqual({
    accepted: expect.toSatisfy((count: number) => count > 100),
    refused: expect.toSatisfy((count: number) => count > 100),
  });
});
