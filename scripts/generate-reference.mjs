// Writes the field tables of docs/reference/<kind>.md from crds/*.yaml, between the marks `<!-- spec -->` and `<!-- /spec -->`
// (the same for status). `--check` only compares and fails when something differs.

import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { parse } from "yaml";

import { writeOrCheck } from "./generated-files.mjs";

const root = resolve(import.meta.dirname, "..");

function typeOf(schema) {
  if (schema["x-kubernetes-int-or-string"]) return "quantity";
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(" ");
  if (schema.type === "array") return schema.items.type === "object" ? "list" : `list of ${typeOf(schema.items)}`;
  return schema.type;
}

function limitsOf(schema) {
  const parts = [];
  if (schema.minItems !== undefined || schema.maxItems !== undefined) parts.push(`${schema.minItems ?? 0}–${schema.maxItems} entries`);
  if (schema.maxLength !== undefined && schema.pattern?.includes("ms|s|m|h") !== true) parts.push(`≤ ${schema.maxLength} characters`);
  if (schema.type === "integer" && schema.maximum !== undefined) parts.push(`${schema.minimum}–${schema.maximum}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

function defaultOf(schema, required) {
  if (required && schema.default === undefined) return "**required**";
  if (
    schema.default === undefined ||
    (typeof schema.default === "object" && Object.keys(schema.default).length === 0 && !Array.isArray(schema.default))
  )
    return "";
  return `\`${typeof schema.default === "string" && schema.default !== "" ? schema.default : JSON.stringify(schema.default)}\``;
}

function rows(schema, prefix) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const path = `${prefix}${name}`;
    const required = schema.required?.includes(name) === true;
    const description = (property.description ?? "").trim().replaceAll("|", "\\|").replaceAll("\n", " ");
    const own = `| \`${path}\` | ${typeOf(property)}${limitsOf(property)} | ${defaultOf(property, required)} | ${description} |`;
    const inside = property.type === "array" ? rows(property.items, `${path}[].`) : rows(property, `${path}.`);
    return [own, ...inside];
  });
}

function table(schema, heads) {
  return [`| ${heads.join(" | ")} |`, `|${heads.map(() => "---").join("|")}|`, ...rows(schema, "")].join("\n");
}

function replaceBetween(text, mark, content, file) {
  const pattern = new RegExp(`(<!-- ${mark} -->\n)[\\s\\S]*?(\n<!-- /${mark} -->)`);
  if (!pattern.test(text)) throw new Error(`${file} has no mark <!-- ${mark} -->`);
  return text.replace(pattern, (_, start, end) => `${start}${content}${end}`);
}

const files = new Map();
for (const name of readdirSync(join(root, "crds"))
  .filter((file) => file.endsWith(".yaml"))
  .sort()) {
  const crd = parse(readFileSync(join(root, "crds", name), "utf8"));
  const { spec, status } = crd.spec.versions[0].schema.openAPIV3Schema.properties;
  const path = join(root, "docs/reference", `${crd.spec.names.singular}.md`);
  const heads = ["Field", "Type", "Default", "Meaning"];
  const text = replaceBetween(readFileSync(path, "utf8"), "spec", table(spec, heads), path);
  files.set(path, replaceBetween(text, "status", table(status, heads), path));
}
process.exitCode = writeOrCheck(files, process.argv.includes("--check"));
