// What runs say of themselves. Whoever has the token of a job's Pod writes that, so nothing in it is taken for what it ought to be: what has another
// form is left out, and texts are cut to what the resource definitions have room for.

import { printable } from "../../domain/printable.ts";

export interface SyncFailure {
  readonly repository: string;
  readonly sourceTag?: string;
  readonly digest?: string;
  readonly reason: string;
  readonly message?: string;
}

export interface SyncResult {
  readonly failed: number;
  /** At most 20. */
  readonly failures: readonly SyncFailure[];
  readonly shadowed?: Shadowed;
}

export interface Shadowed {
  readonly total: number;
  /** At most 20. */
  readonly tags: readonly string[];
  /** Images of which upstream's tags are not known, and why, of the first. */
  readonly unknown?: { readonly images: number; readonly message: string };
}

export interface PruneResult {
  readonly plan?: string;
  readonly kept?: number;
  readonly planned?: { readonly deleted: number; readonly bytes: number };
  readonly deleted?: number;
  readonly bytes?: number;
  readonly blocked?: { readonly reason: string; readonly message: string };
}

const mostFailures = 20;
const mostShadowed = 20;
/** A repository of 255 characters, and a tag of 128. */
const longestImage = 384;
/** Of a condition in the resource definitions; the message also stands behind other words. */
const longest = { reason: 128, message: 4_096 } as const;
const mostImages = 2 ** 31 - 1;
const mostTags = 2 ** 31 - 1;

/** Undefined when it says nothing of images, for example because the run could not begin. */
export function syncResultOf(result: unknown): SyncResult | undefined {
  const failed = numberIn(fieldsOf(fieldsOf(result)["images"]), "failed");
  if (failed === undefined || failed > mostImages) return undefined;
  return {
    failed,
    failures: entriesOf(fieldsOf(result)["failures"])
      .slice(0, mostFailures)
      .flatMap((entry) => failureOf(fieldsOf(entry))),
    ...given("shadowed", shadowedOf(fieldsOf(fieldsOf(result)["shadowed"]))),
  };
}

/** `cgr/nginx:latest IdentityMismatch: signed by …` */
export function describeFailure({ repository, sourceTag, reason, message }: SyncFailure): string {
  const where = sourceTag === undefined ? repository : `${repository}:${sourceTag}`;
  return `${where} ${reason}${message === undefined ? "" : `: ${message}`}`;
}

function shadowedOf(fields: Readonly<Record<string, unknown>>): Shadowed | undefined {
  const total = numberIn(fields, "total");
  if (total === undefined || total > mostTags) return undefined;
  const unknown = fieldsOf(fields["unknown"]);
  const [images, message] = [numberIn(unknown, "images"), textIn(unknown, "message", longest.message)];
  return {
    total,
    tags: entriesOf(fields["tags"])
      .slice(0, mostShadowed)
      .filter((tag) => typeof tag === "string")
      .map((tag) => printable(tag, longestImage)),
    ...given("unknown", images === undefined || images > mostImages || message === undefined ? undefined : { images, message }),
  };
}

/** A run that could not even begin has no result, and one whose job died says only what it deleted. */
export function pruneResultOf(result: unknown): PruneResult {
  const fields = fieldsOf(result);
  const [planned, blocked] = [fieldsOf(fields["planned"]), fieldsOf(fields["blocked"])];
  const [wouldGo, wouldFree] = [numberIn(planned, "deleted"), numberIn(planned, "bytes")];
  const [reason, message] = [textIn(blocked, "reason", longest.reason), textIn(blocked, "message", longest.message)];
  return {
    ...given("plan", textIn(fields, "plan", 128)),
    ...given("kept", numberIn(fields, "kept")),
    ...given("deleted", numberIn(fields, "deleted")),
    ...given("bytes", numberIn(fields, "bytes")),
    ...given("planned", wouldGo === undefined || wouldFree === undefined ? undefined : { deleted: wouldGo, bytes: wouldFree }),
    ...given("blocked", reason === undefined ? undefined : { reason, message: message ?? "" }),
  };
}

/** An object's fields; none of what is no object. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

export function entriesOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A text that says something, as far as there is room for it. */
export function textIn(fields: Readonly<Record<string, unknown>>, name: string, length: number): string | undefined {
  const text = fields[name];
  return typeof text === "string" && text !== "" ? printable(text, length) : undefined;
}

/** A number of things, or of bytes. */
export function numberIn(fields: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const number = fields[name];
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

function failureOf(fields: Readonly<Record<string, unknown>>): SyncFailure[] {
  const [repository, reason] = [textIn(fields, "repository", 255), textIn(fields, "reason", longest.reason)];
  if (repository === undefined || reason === undefined) return [];
  return [
    {
      repository,
      ...given("sourceTag", textIn(fields, "sourceTag", 128)),
      ...given("digest", textIn(fields, "digest", 140)),
      reason,
      ...given("message", textIn(fields, "message", longest.message)),
    },
  ];
}

function given<Name extends string, Value>(name: Name, value: Value | undefined): { readonly [name in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [name in Name]?: Value };
}
