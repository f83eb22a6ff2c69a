// in-toto statements v0.1 and v1: what is said (predicate), and about which digest.

import { algorithmOf, hexOf, type Digest } from "../../domain/digest.ts";
import { AttestationError } from "./failure.ts";
import { field, list, parseJson, text, type Json } from "./hostile-json.ts";

const statementTypes: ReadonlySet<string> = new Set(["https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"]);

// The largest SBOMs seen have about a million values, and a few hundred names. What is read at the most has to fit into the Pod of a job: it ends with
// a sentence instead of being killed.
const limits = { maxDepth: 64, maxTokens: 2_000_000, maxNames: 100_000 };

export interface Statement {
  readonly predicateType: string;
  readonly predicate: Json;
}

/** A statement about `digest`. AttestationError StatementInvalid, SubjectMismatch. */
export function parseStatement(payload: Uint8Array, digest: Digest): Statement {
  const json = readJson(payload);
  const type = text(field(json, "_type"));
  if (type === undefined || !statementTypes.has(type)) {
    throw new AttestationError("StatementInvalid", `_type is ${JSON.stringify(type ?? null)}; in-toto statements v0.1 and v1 are read`);
  }
  const predicateType = text(field(json, "predicateType"));
  const predicate = field(json, "predicate");
  if (predicateType === undefined || predicate === undefined) {
    throw new AttestationError("StatementInvalid", "a statement has a predicateType and a predicate");
  }
  requireSubject(list(field(json, "subject")), digest);
  return { predicateType, predicate };
}

/** Some subject is the digest that we resolved: the name beside it proves nothing and is not read. */
function requireSubject(subjects: readonly Json[], digest: Digest): void {
  const found = subjects.map((subject) => text(field(field(subject, "digest"), algorithmOf(digest))));
  if (found.includes(hexOf(digest))) return;
  const names = found.slice(0, 3).map((hex) => (hex === undefined ? "no digest" : `${algorithmOf(digest)}:${hex.slice(0, 128)}`));
  throw new AttestationError("SubjectMismatch", `it is about ${names.join(", ") || "nothing"}, not about ${digest}`);
}

function readJson(payload: Uint8Array): Json {
  try {
    return parseJson(payload, limits);
  } catch (error) {
    throw new AttestationError("StatementInvalid", `the payload is not an in-toto statement: ${(error as Error).message}`);
  }
}
