import { expect, test } from "vitest";

import { readDocuments } from "./documents.ts";

const read = (text: string) => readDocuments([{ name: "a.yaml", text }]);
const problemsOf = (text: string) => read(text).problems.map(({ source, line, message }) => `${source}:${line} ${message}`);
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

const upstream =
  "apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: hub}\nspec: {url: https://docker.io, prefix: hub}\n";

test("a resource, where it stands, and where its fields stand", () => {
  const { resources, problems } = read(`# a file\n---\n${upstream}`);
  expect(problems).toEqual([]);
  expect(resources).toMatchObject([
    {
      kind: "Upstream",
      namespace: "default",
      name: "hub",
      generation: undefined,
      annotations: {},
      source: "a.yaml:3",
      spec: { url: "https://docker.io", prefix: "hub" },
    },
  ]);
  expect(resources[0]?.lineOf("spec.prefix")).toBe(6);
});

test("what `kubectl get -o yaml` prints is read back", () => {
  const printed = `${upstream.replace("{name: hub}", '{name: hub, namespace: team-a, generation: 7, uid: x, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {a/b: "1"}}')}status: {conditions: []}\n`;
  expect(read(printed)).toMatchObject({
    problems: [],
    resources: [{ namespace: "team-a", annotations: { "a/b": "1" }, generation: undefined }],
  });
});

test("Secrets and ConfigMaps: base64 and text, text wins", () => {
  const { secrets, problems } = read(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: Opaque\ndata: {a: aGk=, b: aGk=}\nstringData: {b: plain}\n---\n" +
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: text}\nbinaryData: {b: /wA=}\n",
  );
  expect(problems).toEqual([]);
  expect(secrets.map(({ kind, name, source }) => [kind, name, source])).toEqual([
    ["Secret", "s", "a.yaml:1"],
    ["ConfigMap", "c", "a.yaml:8"],
  ]);
  expect([text(secrets[0]?.data.get("a")), text(secrets[0]?.data.get("b")), text(secrets[1]?.data.get("a"))]).toEqual([
    "hi",
    "plain",
    "text",
  ]);
  expect([...(secrets[1]?.data.get("b") ?? [])]).toEqual([255, 0]);
});

test.each([
  ["data: {a: hunter2!}", 'a.yaml:4 data["a"]: is not base64: encode it, or write it as it is under stringData'],
  ["stringData: {a: 12345}", 'a.yaml:4 stringData["a"]: must be a string: put it in quotes'],
  ["stringdata: {a: hunter2}", 'a.yaml:4 stringdata: is no field of a Secret; did you mean "stringData"?'],
  ['stringData: {"a/b": hunter2}', 'a.yaml:4 stringData["a/b"]: is no valid key: use letters, digits, - _ and .'],
  ["data: [hunter2]", "a.yaml:4 data: must be an object"],
])("a Secret with %s", (line, expected) => {
  expect(problemsOf(`apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n${line}\n`)).toEqual([expected]);
});

test.each([
  ["kind: Upstream\nmetadata: {name: a}", "a.yaml:1 apiVersion: is required: wharfinger.dev/v1alpha1"],
  [
    "apiVersion: wharfinger.dev/v1alpha1",
    "a.yaml:1 kind: is required: one of Upstream, TagPolicy, RetentionPolicy, AccessPolicy, Secret, ConfigMap",
  ],
  ["apiVersion: wharfinger.dev/v1alpha1\nkind: UpStreams", "a.yaml:2 kind: UpStreams is no kind of ours; did you mean Upstream?"],
  [
    "apiVersion: wharfinger.dev/v1alpha1\nkind: Deployment",
    "a.yaml:2 kind: Deployment is no kind of ours: there are Upstream, TagPolicy, RetentionPolicy, AccessPolicy",
  ],
  ["apiVersion: wharfinger.dev/v1\nkind: Upstream", "a.yaml:1 apiVersion: wharfinger.dev/v1 is not served: write wharfinger.dev/v1alpha1"],
  [
    "apiVersion: record.wharfinger.dev/v1\nkind: Upstream",
    "a.yaml:1 apiVersion: record.wharfinger.dev/v1 is the form of the record's files, not of resources: write wharfinger.dev/v1alpha1",
  ],
  ["apiVersion: wharfinger.dv/v1alpha1\nkind: Upstream", "a.yaml:1 apiVersion: must be wharfinger.dev/v1alpha1"],
  [
    "apiVersion: apps/v1\nkind: Deployment",
    "a.yaml:2 kind: apps/v1 Deployment is nothing that Wharfinger reads: keep it in another folder",
  ],
  [
    "apiVersion: v1\nkind: List\nitems: []",
    "a.yaml:2 kind: List is not read: write its items as documents of their own, with --- between them",
  ],
  ["apiVersion: v1\nkind: secret", "a.yaml:2 kind: secret is no kind of ours; did you mean Secret?"],
  ["- a\n- b", "a.yaml:1 is no resource: a document has apiVersion, kind, metadata and spec"],
  ["apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nspec: {}", "a.yaml:1 metadata: is required, with a name"],
  [upstream.replace("{name: hub}", "{}"), "a.yaml:3 metadata.name: is required"],
  [upstream.replace("{name: hub}", "{name: 5}"), "a.yaml:3 metadata.name: must be a string: put it in quotes"],
  [
    upstream.replace("{name: hub}", "{name: hub, annotations: {paused: true}}"),
    'a.yaml:3 metadata.annotations["paused"]: must be a string: put it in quotes',
  ],
  [
    upstream.replace("{name: hub}", "{name: hub, namspace: x}"),
    'a.yaml:3 metadata.namspace: is no field of metadata; did you mean "namespace"?',
  ],
  [`${upstream}suspend: true\n`, "a.yaml:5 suspend: is a field of spec: indent it below spec"],
])("refused: %s", (document, expected) => {
  expect(problemsOf(document)).toEqual([expected]);
});

test("what GitOps folders have beside resources is passed over", () => {
  expect(
    read(
      "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
    ),
  ).toEqual({
    resources: [],
    secrets: [],
    problems: [],
  });
});

test("the same name twice: the first counts, and the second says where the first is", () => {
  const { resources, problems } = readDocuments([
    { name: "a.yaml", text: upstream },
    { name: "b.yaml", text: `\n${upstream.replace("prefix: hub", "prefix: other")}` },
  ]);
  expect(resources.map(({ source }) => source)).toEqual(["a.yaml:1"]);
  expect(problems).toEqual([
    {
      source: "b.yaml",
      line: 2,
      message: "Upstream default/hub is already in a.yaml:1, which counts: remove one of them, or give it another name",
      resource: "Upstream default/hub",
    },
  ]);
});
