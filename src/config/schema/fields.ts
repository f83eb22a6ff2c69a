// What fields of the settings are made of: their formats, and keywords of our own.

import { Type, type TSchema } from "typebox";

/** Formats that only exist here; load-settings.ts checks and converts them. */
export const formats = {
  duration: "duration",
  positiveDuration: "positive-duration",
  quantity: "quantity",
  cidr: "cidr",
  host: "host",
  url: "http-url",
  keySet: "https-url-or-file",
  remote: "git-remote",
  postgres: "postgres-url",
  glob: "glob",
  signer: "allowed-signer",
  administrator: "administrator",
} as const;

/** Keywords of our own, in milliseconds or bytes: JSON Schema's are about the text. */
export const least = "x-least";
export const most = "x-most";
export type Range = { readonly [Keyword in typeof least | typeof most]?: number };
/** Keyword of our own: `wharfinger registry` alone goes by it. */
export const registryOnly = "x-registry-only";
export const ofRegistry = <Schema extends TSchema>(schema: Schema): Schema => Object.assign(schema, { [registryOnly]: true });

/** Keyword of our own: what a text is told that does not match its `pattern`. */
export const instead = "x-instead";
interface Text {
  readonly pattern: string;
  readonly [instead]: string;
  readonly description?: string;
  readonly maxLength?: number;
  readonly default?: string;
}
export const text = (options: Text) => Type.String({ ...options });

export const group = (properties: Record<string, TSchema>, description?: string) =>
  Type.Object(properties, { additionalProperties: false, required: [], description });
/** `keys`: each needs the others beside it. */
export const needing = (keys: Readonly<Record<string, readonly string[]>>, properties: Record<string, TSchema>, description: string) =>
  Object.assign(group(properties, description), { dependencies: keys });
export const duration = (description: string, range: Range = {}) => Type.String({ format: formats.duration, description, ...range });
/** A pause of zero would be a busy loop, a lease of zero would lose what is being pushed. */
export const positive = (description: string, range: Range & { readonly default?: string } = {}) =>
  Type.String({ format: formats.positiveDuration, description, ...range });
/** Timers that are longer than 24.8 days end at once. */
export const wait = (description: string) => positive(description, { [most]: 24 * 3_600_000 });
export const bytes = (description: string, range: Range = {}) =>
  Type.Unsafe({ type: ["string", "integer"], format: formats.quantity, minimum: 0, description, ...range });
export const globs = (description: string, least = 0) =>
  Type.Array(Type.String({ format: formats.glob }), { minItems: least, description });
export const name = (description: string) => Type.String({ minLength: 1, maxLength: 253, description });

export const file = (description: string) => Type.String({ minLength: 1, description });
export const atLeastOne = (description: string) => Type.Integer({ minimum: 1, description });
export const positiveCount = (fallback: number, description: string) =>
  Type.Integer({ minimum: 1, maximum: 10_000, default: fallback, description });
