const pattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** As PostgreSQL and `crypto.randomUUID` write it: lower case, with hyphens. */
export function isUuid(text: string): boolean {
  return pattern.test(text);
}
