// Writes the parts of charts/registry that have their source elsewhere: CRDs from crds/, the rules of Roles from deploy/, the schema of `settings` from
// src/config, what texts look like from ./chart-forms.mjs, the table of README.md from values.yaml. `node bin/with-node.mjs scripts/generate-chart.mjs` writes, `--check` only compares and fails when something differs.

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { isMap, parseAllDocuments, parseDocument, stringify } from "yaml";

import { settingsSchema } from "../src/config/settings-schema.ts";
import { chartForms, ofTheChart } from "./chart-forms.mjs";
import { writeOrCheck } from "./generated-files.mjs";

const root = resolve(import.meta.dirname, "..");
const chart = join(root, "charts/registry");
const read = (...path) => readFileSync(join(root, ...path), "utf8");

/** What stands in braces is Go's to read otherwise. */
const literal = (text) => text.replaceAll(/\{\{|\}\}/g, (braces) => `{{ "${braces}" }}`);

function definition(file) {
  const text = literal(read("crds", file));
  const annotations = /^ {2}annotations:\n/m;
  if (!annotations.test(text)) throw new Error(`crds/${file} has no annotations to put helm.sh/resource-policy among`);
  const keep = "{{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n";
  return `{{- /* Generated from crds/${file} by scripts/generate-chart.mjs. Do not edit. */}}
{{- if .Values.crds.enabled }}
${text.replace(annotations, (line) => `${line}    ${keep}`).trimEnd()}
{{- end }}
`;
}

/** The list `rules` of the Role in a file of deploy/, with its comments. */
function rules(file) {
  const text = read("deploy", file);
  const role = parseAllDocuments(text).find((document) => document.get("kind").endsWith("Role"));
  if (role === undefined || !isMap(role.contents)) throw new Error(`deploy/${file} has no Role`);
  const start = role.contents.items.find(({ key }) => key.value === "rules").key.range[0];
  const [, list = ""] = /^rules:\n([\s\S]*?)(?:^---|(?![\s\S]))/m.exec(text.slice(start)) ?? [];
  return `# Generated from deploy/${file} by scripts/generate-chart.mjs. Do not edit.\n${list.replaceAll(/^ {2}/gm, "")}`;
}

const roles = {
  operator: "operator/role.yaml",
  "operator-jobs": "operator/jobs.yaml",
  "watched-namespace": "watched-namespace/role.yaml",
  "credentials-namespace": "credentials-namespace/role.yaml",
  administrator: "cli/administrator.yaml",
  "administrator-resources": "cli/resources.yaml",
  "pod-events": "pod-events/role.yaml",
  reporter: "reporter/role.yaml",
};

/** The schema of the settings for Helm: what a text has to look like is said in words (./chart-forms.mjs), and not by a pattern or a length. */
function forHelm(schema, path = "") {
  const out = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === "format" || key === "pattern" || key === "minLength" || key.startsWith("x-") || key.startsWith("~")) continue;
    if (key === "properties")
      out.properties = Object.fromEntries(
        Object.entries(value).map(([name, child]) => [name, forHelm(child, path === "" ? name : `${path}.${name}`)]),
      );
    else if (key === "items" || key === "if" || key === "else" || key === "then") out[key] = forHelm(value, `${path}[]`);
    // What one key needs beside it, the chart may set.
    else if (key !== "dependencies" || path !== "storage.s3") out[key] = value;
  }
  // Refused in words.
  return path in ofTheChart ? {} : out;
}

const settings = JSON.parse(JSON.stringify(settingsSchema));
const schema = JSON.parse(read("charts/registry/values.schema.json"));
const json = (value) => `${JSON.stringify(value, undefined, 2)}\n`;
const valuesSchema = () => json({ ...schema, definitions: { ...schema.definitions, settings: forHelm(settings) } });
const valuesForms = () => json(chartForms({ ...schema, definitions: { ...schema.definitions, settings } }));

/** `# --` comments of values.yaml, with what they stand before. */
function* described(map, path = "") {
  for (const { key, value } of map.items) {
    const whole = path === "" ? key.value : `${path}.${key.value}`;
    const [, comment] = /(?:^|\n) -- ([\s\S]*)$/.exec(key.commentBefore ?? (key === map.items[0].key ? map.commentBefore : "") ?? "") ?? [];
    if (comment !== undefined) yield { key: whole, standard: value?.toJSON() ?? null, text: comment.replaceAll("\n", "") };
    else if (isMap(value)) yield* described(value, whole);
    else throw new Error(`charts/registry/values.yaml: ${whole} has no "# --" comment`);
  }
}

function readme() {
  const document = parseDocument(read("charts/registry/values.yaml"));
  // The first comment is the document's.
  document.contents.items[0].key.commentBefore ??= document.commentBefore ?? document.contents.commentBefore;
  const rows = [...described(document.contents)].map(
    ({ key, standard, text }) => `| \`${key}\` | \`${JSON.stringify(standard)}\` | ${text.replaceAll("|", "\\|")} |`,
  );
  return `${read("charts/registry/README.head.md").trimEnd()}

## Values

Generated from \`values.yaml\` and \`README.head.md\` by \`scripts/generate-chart.mjs\`; do not edit.

| key | default | |
|---|---|---|
${rows.join("\n")}
`;
}

/** Lines of a block in YAML, at the depth of an annotation's text. */
const block = (text) => text.trimEnd().replaceAll(/^(?=.)/gm, "    ");

/** What Artifact Hub shows beside the chart: its line of the newest section of CHANGELOG.md, the kinds, the image. */
function chartFile() {
  const [head = ""] = read("charts/registry/Chart.yaml").split(/^ {2}# Generated/m);
  const { version } = parseDocument(head).toJS();
  const section = read("CHANGELOG.md").split(/^## /m)[1] ?? "";
  const changes = [...section.matchAll(/^\* \*\*Helm chart\*\* \([^)]*\): ([\s\S]*?)(?=^\* |(?![\s\S]))/gm)].map(([, text = ""]) => ({
    kind: "added",
    description: text.replaceAll(/\s+/g, " ").replaceAll("`", "").trim(),
  }));
  if (changes.length === 0) throw new Error('CHANGELOG.md has no line "* **Helm chart** (`charts/registry`): …" in its newest section');
  const crds = readdirSync(join(root, "crds"))
    .filter((name) => name.endsWith(".yaml"))
    .sort()
    .map((name) => parseDocument(read("crds", name)).toJS())
    .map(({ metadata, spec }) => ({
      kind: spec.names.kind,
      version: spec.versions[0].name,
      name: metadata.name,
      displayName: spec.names.kind,
      description: spec.versions[0].schema.openAPIV3Schema.description ?? spec.names.kind,
    }));
  const { repository } = parseDocument(read("charts/registry/values.yaml")).toJS().image;
  const images = [{ name: "wharfinger", image: `${repository}:${version}`, platforms: ["linux/amd64", "linux/arm64"] }];
  const texts = { changes, crds, images };
  const lines = Object.entries(texts).map(([name, value]) => `  artifacthub.io/${name}: |\n${block(stringify(value, { lineWidth: 0 }))}\n`);
  return `${head}  # Generated from CHANGELOG.md, crds/ and values.yaml by scripts/generate-chart.mjs, to the end.\n${lines.join("")}`;
}

const files = new Map();
for (const file of readdirSync(join(root, "crds"))
  .filter((name) => name.endsWith(".yaml"))
  .sort())
  files.set(join(chart, "templates/crds", file), definition(file));
for (const [name, file] of Object.entries(roles)) files.set(join(chart, "files/rules", `${name}.yaml`), rules(file));
files.set(join(chart, "values.schema.json"), valuesSchema());
files.set(join(chart, "files/forms.json"), valuesForms());
files.set(join(chart, "README.md"), readme());
files.set(join(chart, "Chart.yaml"), chartFile());
process.exitCode = writeOrCheck(files, process.argv.includes("--check"));
