import { generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createTrustedRoot } from "../../test/support/trusted-root.ts";
import { formatFinding, listFiles, validateFiles, type FilesReport } from "./validate-files.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-validate-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function validate(files: Readonly<Record<string, string>>): Promise<FilesReport> {
  const inside = await mkdtemp(join(folder, "case-"));
  await mkdir(join(inside, "sub"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(inside, name), text);
  const report = await validateFiles([inside]);
  const cut = (text: string) => text.replace(`${inside}/`, "");
  return {
    ...report,
    documents: report.documents.map((document) => ({
      ...document,
      source: cut(document.source),
      findings: document.findings.map((finding) => ({ ...finding, file: cut(finding.file) })),
    })),
    problems: report.problems.map((finding) => ({ ...finding, file: cut(finding.file) })),
  };
}

const linesOf = ({ documents, problems }: FilesReport) =>
  [...problems, ...documents.flatMap(({ findings }) => findings)].map(formatFinding);
const upstream = (name: string, rest = "") =>
  `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: ${name}}\nspec:\n  url: https://a.example.com\n  prefix: ${name}\n${rest}`;

const publicKeys = (data: Readonly<Record<string, string>>) =>
  `apiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData: ${JSON.stringify(data)}\n`;
const publicKey = () => generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();

test("the examples are valid", async () => {
  const report = await validateFiles([resolve(import.meta.dirname, "../../examples/quickstart")]);
  expect(report.valid).toBe(true);
  expect(report.documents.map(({ kind, name, verdict }) => [kind, name, verdict])).toEqual([
    ["TagPolicy", "chainguard", "valid"],
    ["RetentionPolicy", "team-a", "valid"],
    ["Upstream", "hub", "valid"],
    ["Upstream", "ghcr", "valid"],
    ["Upstream", "quay", "valid"],
    ["Upstream", "k8s", "valid"],
    ["Upstream", "cgr", "valid"],
  ]);
});

test("each problem by file, line and field", async () => {
  const report = await validate({
    "a.yaml": `${upstream("a")}---\n${upstream("b", "  hosts: [https://b]\n  colour: red\n")}`,
    "b.yaml": "a: [1",
    "sub/c.yml": upstream("c", "  insecure: true\n"),
    "sub/d.txt": "not read",
    ".hidden.yaml": "not read: [",
  });
  expect(report.valid).toBe(false);
  expect(linesOf(report)).toEqual([
    "b.yaml:1: is no YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
    "a.yaml:15: spec.colour: is no field of this kind",
    "a.yaml:14: spec.hosts[0]: must be a host name in lower case with an optional port, for example docker.io: no scheme, no path",
    "sub/c.yml:7: warning: spec.insecure has no effect on an https url: remove it",
  ]);
  expect(report.documents.map(({ name, verdict }) => [name, verdict])).toEqual([
    ["a", "valid"],
    ["b", "invalid"],
    ["c", "valid"],
  ]);
});

test("resources that are valid alone and not together", async () => {
  const policy =
    "apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: p}\nspec:\n  upstreamRef: {name: nowhere}\n  images: [{repository: a/b}]\n  evidence: [{type: SPDX}]\n  verify: {keys: [{secretRef: {name: k}}]}\n";
  const report = await validate({ "a.yaml": upstream("a"), "b.yaml": upstream("b").replace("prefix: b", "prefix: a"), "c.yaml": policy });
  expect(report.valid).toBe(false);
  expect(linesOf(report)).toEqual([
    "b.yaml:6: spec.prefix: prefix a belongs to upstream default/a, which comes first in these files (the one that is recorded already, or first, keeps it): choose another prefix",
    "c.yaml:5: warning: spec.upstreamRef.name: there is no Upstream default/nowhere in these files: create it, or name another one of the same namespace",
    "c.yaml:8: warning: spec.verify.keys[0].secretRef.name: there is no Secret default/k in these files: nothing is read without it",
  ]);
});

test("what is not built yet is in nobody's way; of two policies for one image a warning says that the record decides", async () => {
  const policy = (name: string, verify: string, more = "") =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: ${name}}\nspec:\n  upstreamRef: {name: a}\n  images: [{repository: x/y}]\n  verify: {${verify}}\n${more}`;
  const keys = "keys: [{secretRef: {name: k}}]";
  const secret = publicKeys({ "cosign.pub": publicKey() });
  const rest = { "a.yaml": upstream("a"), "k.yaml": secret };
  const report = await validate({
    ...rest,
    "p.yaml": policy("later", keys, "  backfill: {}\n"),
    "q.yaml": policy("now", keys),
  });
  expect(report.documents.filter(({ kind }) => kind === "TagPolicy").map(({ name, verdict }) => [name, verdict])).toEqual([
    ["later", "not-implemented"],
    ["now", "valid"],
  ]);
  expect(report.valid).toBe(true);
  expect(linesOf(report)).toEqual([expect.stringMatching(/^p\.yaml:8: warning: spec\.backfill: NotImplemented: /)]);

  const two = await validate({ ...rest, "p.yaml": policy("one", keys), "q.yaml": policy("two", keys) });
  expect(two.valid).toBe(true);
  expect(linesOf(two)).toEqual([
    "q.yaml:6: warning: spec.images[0].repository: x/y gets its versions from tagpolicy default/one, which comes first in these files (the one that is recorded already, or first, keeps it): remove it here or there",
  ]);
});

test("references are judged also when what they lead to, or come from, is not valid", async () => {
  const policy = (rest: string) =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: p}\nspec:\n  upstreamRef: {name: a}\n  images: [{repository: a/b}]\n  verify: {keys: [{secretRef: {name: k}}]}\n${rest}`;
  const report = await validate({
    "a.yaml": upstream("a", "  colour: red\n  auth: {secretRef: {name: login}}\n"),
    "k.yaml": publicKeys({ "cosign.key": "x" }),
    "p.yaml": policy("  schedule: never\n"),
  });
  expect(linesOf(report)).toEqual([
    "a.yaml:7: spec.colour: is no field of this kind",
    "a.yaml:8: warning: spec.auth.secretRef.name: there is no Secret default/login in these files: nothing is read without it",
    expect.stringMatching(/^p\.yaml:8: spec\.schedule: /),
    "p.yaml:5: warning: spec.upstreamRef.name: Upstream default/a is in these files and not valid: mend it first",
    "p.yaml:7: spec.verify.keys[0].secretRef.name: Secret default/k has no key that ends in .pub (it has cosign.key): put the publisher's public key there, for example as cosign.pub",
  ]);
  const good = await validate({ "a.yaml": upstream("a"), "k.yaml": publicKeys({ "cosign.pub": publicKey() }), "p.yaml": policy("") });
  expect(linesOf(good)).toEqual([]);
});

test("a policy whose public keys are among the files and cannot be read is refused, in the words of its condition", async () => {
  const policy = (name: string) =>
    `apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: p}\nspec:\n  upstreamRef: {name: a}\n  images: [{repository: a/b}]\n  verify: {keys: [{secretRef: {name: ${name}}}]}\n`;
  const judged = async (data: Readonly<Record<string, string>>) => {
    const report = await validate({ "a.yaml": upstream("a"), "k.yaml": publicKeys(data), "p.yaml": policy("k") });
    return { verdict: report.documents.find(({ kind }) => kind === "TagPolicy")?.verdict, lines: linesOf(report) };
  };
  const at = "spec.verify.keys[0].secretRef.name: Secret default/k has";
  expect(await judged({ "cosign.pub": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "b.pub": "x" })).toEqual({
    verdict: "invalid",
    lines: [
      `p.yaml:7: ${at} no public key that can be used: cosign.pub is not a public key that can be read; b.pub is not one PEM public key ("-----BEGIN PUBLIC KEY-----")`,
    ],
  });
  expect(await judged({ "cosign.pub": publicKey(), "b.pub": "x" })).toEqual({
    verdict: "valid",
    lines: [`p.yaml:7: warning: ${at} keys that a run leaves out: b.pub is not one PEM public key ("-----BEGIN PUBLIC KEY-----")`],
  });
  expect(await judged({ "cosign.pub": publicKey() })).toEqual({ verdict: "valid", lines: [] });
  // It may be somewhere else.
  const alone = await validate({ "a.yaml": upstream("a"), "p.yaml": policy("nowhere") });
  expect(alone.valid).toBe(true);
});

test("a trusted root that is not among the files, or is none", async () => {
  const policy =
    "apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: p}\nspec:\n  upstreamRef: {name: a}\n  images: [{repository: a/b}]\n" +
    "  verify:\n    keyless: [{issuer: 'https://i.example.com', subject: s}]\n    trustedRoot: {configMapRef: {name: root}}\n";
  const root = (data: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: root}\ndata: ${data}\n`;
  const said = async (files: Record<string, string>) => linesOf(await validate({ "a.yaml": upstream("a"), "p.yaml": policy, ...files }));
  const at = "p.yaml:9: spec.verify.trustedRoot.configMapRef.name: ";
  expect(await said({})).toEqual([
    `${at.replace("spec", "warning: spec")}there is no ConfigMap default/root in these files: nothing is read without it`,
  ]);
  expect(await said({ "r.yaml": root("{root.json: x}") })).toEqual([
    `${at}ConfigMap default/root has no key trusted_root.json (it has root.json)`,
  ]);
  expect(await said({ "r.yaml": root("{trusted_root.json: x}") })).toEqual([
    `${at}ConfigMap default/root has no trusted root in trusted_root.json, it is not JSON`,
  ]);
  expect(await said({ "r.yaml": root(JSON.stringify({ "trusted_root.json": JSON.stringify(await createTrustedRoot()) })) })).toEqual([]);
});

test("a namespace of its own needs a grant, and a field of spec beside it is told where it belongs", async () => {
  const report = await validate({
    "a.yaml": upstream("a").replace("{name: a}", "{name: a, namespace: team-a}"),
    "b.yaml": "apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: b}\nurl: https://a.example.com\nspec:\n  prefix: b\n",
  });
  expect(linesOf(report)).toEqual([
    "b.yaml:4: url: is a field of spec: indent it below spec",
    "a.yaml:3: warning: metadata.namespace: namespace team-a needs a grant in the settings (tenants): without one this is not served",
  ]);
});

test("Secrets are judged and never shown", async () => {
  const report = await validate({ "s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n" });
  expect(report.valid).toBe(true);
  expect(report.documents).toEqual([
    { kind: "Secret", namespace: "default", name: "s", source: "s.yaml:1", verdict: "valid", findings: [] },
  ]);
});

test("what is not there or too large is a problem, not a crash", async () => {
  const large = join(folder, "large.yaml");
  await writeFile(large, "#".repeat(3 * 1024 * 1024 + 1));
  const report = await validateFiles([join(folder, "nothing"), large]);
  expect(linesOf(report).map((line) => line.replace(`${folder}/`, ""))).toEqual([
    "nothing: cannot be read (ENOENT)",
    "large.yaml: is larger than 3 MiB: split it",
  ]);
});

test("links to files are read, links to folders are not", async () => {
  const inside = await mkdtemp(join(folder, "links-"));
  await writeFile(join(inside, "a.yaml"), upstream("a"));
  await symlink("a.yaml", join(inside, "b.yaml"));
  await symlink(".", join(inside, "loop"));
  await symlink("nowhere", join(inside, "c.yaml"));
  await expect(listFiles(inside)).resolves.toEqual([join(inside, "a.yaml"), join(inside, "b.yaml")]);
});
