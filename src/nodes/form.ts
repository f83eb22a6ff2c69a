// What a form of configuration is: files, and what has to be said beside them.

import type { Mirror, MirroredHost } from "./mirror.ts";

export interface NodeFile {
  /** Path below the folder that takes them. */
  readonly name: string;
  readonly text: string;
  /** Has a password in it. */
  readonly secret?: boolean;
  readonly executable?: boolean;
}

export interface NodeConfiguration {
  readonly files: readonly NodeFile[];
  /** Where they go and what follows, a sentence each. */
  readonly notes: readonly string[];
}

export type Form = (mirror: Mirror, hosts: readonly MirroredHost[]) => NodeConfiguration;

/** Cannot be said in this form; the message says what can. */
export class FormError extends Error {
  override readonly name = "FormError";
}

/** First line of every file that may have comments: what bears it may be written anew. */
export const mark = "# Written by `wharfinger hosts`; it is written anew without asking.";

/** A string of TOML 1.0; the escapes of JSON are among its own. */
export function toml(text: string): string {
  return JSON.stringify(text).replaceAll("\u007F", String.raw`\u007F`);
}

export function tomlList(texts: readonly string[]): string {
  return `[${texts.map(toml).join(", ")}]`;
}
