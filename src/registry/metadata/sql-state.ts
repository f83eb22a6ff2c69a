// What the server says about a statement.

/** SQLSTATE of an error from Postgres, undefined for others. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** foreign_key_violation, and restrict_violation, which is how PostgreSQL 18 and later call it where the foreign key says RESTRICT. */
const foreignKeyViolations = new Set(["23503", "23001"]);

/** Something is named that is not here, or taken away that is still named. */
export function isForeignKeyViolation(error: unknown): boolean {
  return foreignKeyViolations.has(codeOf(error) ?? "");
}

/** Name of the constraint that a statement broke. */
export function constraintOf(error: unknown): string | undefined {
  const constraint = (error as { constraint?: unknown } | null)?.constraint;
  return typeof constraint === "string" ? constraint : undefined;
}
