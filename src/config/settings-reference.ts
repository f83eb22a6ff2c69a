// docs/reference/settings.md out of the schema: a page that cannot say anything else than the program does.

import { stringify } from "yaml";

import { describeSettings, writtenLimit } from "./load-settings.ts";
import { clientOptions, clusterOptions, podOptions, tokenVariable } from "./options/client.ts";
import type { OptionDefinition } from "./options/option.ts";
import { registryOptions, restoreMetadataOptions, serveOptions } from "./options/registry.ts";
import { formats, least, most, registryOnly } from "./schema/fields.ts";
import { settingsSchema } from "./settings-schema.ts";
import { defaultSettings } from "./settings.ts";

interface SchemaNode {
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly minimum?: number;
  readonly format?: string;
  readonly [least]?: number;
  readonly [most]?: number;
  readonly [registryOnly]?: true;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly items?: SchemaNode;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
}

export function settingsReference(): string {
  const defaults = describeSettings(defaultSettings);
  return `# Settings

Generated from \`src/config\` (\`npm run unit -- --project unit src/config --update=all\`); do not edit.

## The file

\`npx wharfinger serve --settings FILE\` reads one YAML file, once, at the start. Every key has a default; an unknown key is refused with its
line. What \`wharfinger registry\` alone goes by says so below: \`serve\` brings its own database and a folder for the bytes, and refuses it with its
line unless it is the default. Durations are written \`24h\`, \`1h30m\`, \`90s\`, \`200ms\`; bytes \`512Mi\`, \`10G\` or a number.

| key | form | default | |
|---|---|---|---|
${rows(settingsSchema, defaults, "").join("\n")}

All of it, with the defaults:

\`\`\`yaml
${stringify(defaults, { lineWidth: 0 }).trimEnd()}
\`\`\`

## Options of \`npx wharfinger serve\`

Each has a twin in the environment; a flag counts more. Secrets are never given as flags.

${optionTable(Object.values(serveOptions))}

## Options of \`npx wharfinger registry\`

${optionTable(Object.values(registryOptions))}

## Options of \`npx wharfinger restore-metadata\`

${optionTable(Object.values(restoreMetadataOptions))}

## Options of the other subcommands

${optionTable(Object.values(clientOptions))}

Of those that may ask a cluster ([from your shell](../guides/from-your-shell.md)):

${optionTable([...Object.values(clusterOptions), ...Object.values(podOptions)])}

\`${tokenVariable}\` in the environment is used instead of the admin token of the data folder. \`NO_COLOR\` (any value) turns colours off.
`;
}

function rows(schema: SchemaNode, value: unknown, path: string, above: Pick<SchemaNode, typeof registryOnly> = {}): string[] {
  const only = schema[registryOnly] === true || above[registryOnly] === true ? ({ [registryOnly]: true } as const) : {};
  const describe = () => `${registryOnly in only ? "`wharfinger registry` only. " : ""}${schema.description ?? ""}`;
  if (schema.properties !== undefined) {
    // What it is as a whole; of a list's entries the list says it.
    const whole = schema.description === undefined || path.endsWith("]") ? [] : [`| \`${path}\` | map |  | ${describe()} |`];
    return whole.concat(
      Object.entries(schema.properties).flatMap(([key, child]) =>
        rows(child, (value as Record<string, unknown> | undefined)?.[key], path === "" ? key : `${path}.${key}`, only),
      ),
    );
  }
  const standard = value ?? schema.default;
  const fallback = standard === undefined || standard === "" ? "" : `\`${JSON.stringify(standard).replaceAll('"', "")}\``;
  const row = `| \`${path}\` | ${formOf(schema)} | ${fallback} | ${describe()} |`;
  return schema.items?.properties === undefined ? [row] : [row, ...rows(schema.items, undefined, `${path}[]`, only)];
}

function formOf(node: SchemaNode): string {
  const { format, items, type, enum: choices, [least]: atLeast, [most]: atMost } = node;
  if (choices !== undefined) return choices.join(", ");
  const limits = [
    ...(atLeast === undefined ? [] : [`at least ${writtenLimit(node, atLeast)}`]),
    ...(atMost === undefined ? [] : [`at most ${writtenLimit(node, atMost)}`]),
  ];
  const range = limits.length === 0 ? "" : `, ${limits.join(" and ")}`;
  if (format === formats.duration) return `duration${range}`;
  if (format === formats.positiveDuration) return "duration, above zero";
  if (format === formats.quantity) return `bytes${range}`;
  if (format === formats.cidr) return "network";
  if (format === formats.url || format === formats.postgres) return "URL";
  if (format === formats.keySet) return "URL or file";
  if (format !== undefined) return format;
  if (type === "integer") return `whole number, at least ${node.minimum ?? 0}`;
  if (items !== undefined) return items.properties === undefined ? `list of ${formOf(items)}` : "list";
  return type === "string" ? "text" : String(type);
}

function optionTable(options: readonly OptionDefinition[]): string {
  const lines = options.map(({ flags, variable, description, fallback, fallbackDescription, choices }) => {
    const described = choices === undefined ? description : `${description}: ${choices.join(", ")}`;
    const standard = fallback === undefined ? (fallbackDescription ?? "") : `\`${fallback}\``;
    return `| \`${flags.replaceAll("|", "\\|")}\` | \`${variable}\` | ${standard} | ${described} |`;
  });
  return ["| flag | environment | default | |", "|---|---|---|---|", ...lines].join("\n");
}
