// The users of an installation: lines `name:hash` as Apache's htpasswd writes them, hashes by bcrypt.

export interface Htpasswd {
  /** Name → bcrypt hash. */
  readonly users: ReadonlyMap<string, string>;
  /** Costs of their hashes in ascending order: each step doubles the time of a check, and of a guess. */
  readonly costs: readonly number[];
  /** Users whose hash is cheaper to guess against than `leastCost`. */
  readonly weak: readonly string[];
  /** Lines that cannot be used, for the log: number and reason, never what they say. */
  readonly problems: readonly { readonly line: number; readonly reason: string }[];
}

const bcryptPattern = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** Above this one login would take minutes of processor time. */
const highestCost = 16;
/** What OWASP asks of bcrypt; `htpasswd -B` alone makes 5. */
export const leastCost = 10;
/** bcrypt looks at no more of a password, so that all with the same first 72 would pass. */
export const mostPasswordBytes = 72;

/** Reads htpasswd text. Empty lines and comments are skipped; the first line of a name counts. */
export function parseHtpasswd(text: string): Htpasswd {
  const users = new Map<string, string>();
  const problems: { line: number; reason: string }[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const reason = addUser(users, line);
    if (reason !== undefined) problems.push({ line: index + 1, reason });
  }
  const costs = [...users.values()].map(costOf).toSorted((a, b) => a - b);
  const weak = [...users].filter(([, hash]) => costOf(hash) < leastCost).map(([name]) => name);
  return { users, costs, weak, problems };
}

function costOf(hash: string): number {
  return Number(bcryptPattern.exec(hash)?.[1]);
}

/** Why the line cannot be used; undefined when it was added. */
function addUser(users: Map<string, string>, line: string): string | undefined {
  const colon = line.indexOf(":");
  if (colon < 1) return "it is not name:hash";
  const name = line.slice(0, colon);
  const hash = line.slice(colon + 1);
  const cost = bcryptPattern.exec(hash)?.[1];
  if (cost === undefined) return "the hash is not bcrypt; make it with htpasswd -B";
  if (Number(cost) > highestCost) return `the cost of the hash is above ${highestCost}`;
  if (users.has(name)) return "the name is there twice; the first line counts";
  users.set(name, hash);
  return undefined;
}
