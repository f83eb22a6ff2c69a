// Writes src/api/generated/*.ts from crds/*.yaml: the types of the *effective* specs, in which a property with a default is always there.
// `node bin/with-node.mjs scripts/generate-types.mjs` writes, `--check` only compares and fails when something differs.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

import { compile } from "json-schema-to-typescript";
import { parse } from "yaml";

import { writeOrCheck } from "./generated-files.mjs";

const root = resolve(import.meta.dirname, "..");

/** Keywords that change no type. */
const ignored = new Set(["default", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "format"]);

function effective(schema) {
  const out = {};
  for (const [key, value] of Object.entries(schema)) {
    if (ignored.has(key) || key.startsWith("x-kubernetes-")) continue;
    if (key === "items") out.items = effective(value);
    else if (key !== "properties") out[key] = value;
  }
  if (schema["x-kubernetes-int-or-string"]) out.type = ["integer", "string"];
  if (schema.properties === undefined) return out;
  const properties = Object.entries(schema.properties);
  const withDefault = properties.filter(([, property]) => property.default !== undefined).map(([name]) => name);
  out.properties = Object.fromEntries(properties.map(([name, property]) => [name, effective(property)]));
  out.required = [...new Set([...(schema.required ?? []), ...withDefault])];
  out.additionalProperties = false;
  return out;
}

async function generate(file) {
  const crd = parse(readFileSync(join(root, "crds", file), "utf8"));
  const spec = crd.spec.versions[0].schema.openAPIV3Schema.properties.spec;
  return compile(effective(spec), `${crd.spec.names.kind}Spec`, {
    bannerComment: `// Generated from crds/${file} by scripts/generate-types.mjs. Do not edit.`,
    additionalProperties: false,
    ignoreMinAndMaxItems: true,
    unknownAny: true,
    style: { printWidth: 140 },
  });
}

const files = new Map();
for (const file of readdirSync(join(root, "crds"))
  .filter((name) => name.endsWith(".yaml"))
  .sort()) {
  files.set(join(root, "src/api/generated", `${basename(file, ".yaml")}.ts`), await generate(file));
}
process.exitCode = writeOrCheck(files, process.argv.includes("--check"));
