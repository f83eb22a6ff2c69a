// JSON from strangers: bounded before it is parsed, and read by own properties alone, so that `__proto__` is a name like any other.

import { measureJson, type JsonLimits } from "../../domain/json-limits.ts";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Parses UTF-8 JSON. Throws an Error with a short message, never with the content. */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): Json {
  measureJson(bytes, limits);
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new Error("not UTF-8");
  }
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new Error("not JSON");
  }
}

/** An own property of an object; undefined for everything else. */
export function field(value: Json | undefined, name: string): Json | undefined {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

export function text(value: Json | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
