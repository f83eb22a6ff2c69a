// JSON documents of strangers hold characters that Postgres does not take: that is their fault, and said so.

import { codeOf } from "../../metadata/database.ts";
import { ServiceError } from "../errors.ts";

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
