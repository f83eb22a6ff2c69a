// Texts that come from documents of strangers, as Postgres takes them: no NUL, no half characters, a bounded length.

import { codeOf } from "../metadata/database.ts";
import { ServiceError } from "./errors.ts";

/** The text without what cannot be stored or shown, at most `length` characters. */
export function storable(text: string, length: number): string {
  const clean = text.slice(0, length).toWellFormed();
  return clean.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "\u{fffd}");
}

/** invalid_text_representation, untranslatable_character, character_not_in_repertoire */
const unstorable = new Set(["22P02", "22P05", "22021"]);

/** ServiceError INVALID for a document that Postgres refuses for its characters. */
export async function unlessStorable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!unstorable.has(codeOf(error) ?? "")) throw error;
    throw new ServiceError("INVALID", "The document holds characters that cannot be stored (NUL, or half of a surrogate pair).", {
      cause: error,
    });
  }
}
