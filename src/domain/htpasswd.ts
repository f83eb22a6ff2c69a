// The users of an installation: lines `name:hash` as Apache's htpasswd writes them, hashes by bcrypt or argon2id.

import { readPasswordHash, type PasswordHash } from "./password-hash.ts";

export interface Htpasswd {
  /** Name → hash. */
  readonly users: ReadonlyMap<string, string>;
  /** For each user a hash whose check costs as much, cheapest first. */
  readonly decoys: readonly string[];
  /** Users whose hash is cheap to guess against, with what makes a better one. */
  readonly weak: readonly { readonly name: string; readonly advice: string }[];
  /** Lines that cannot be used, for the log: number and reason, never what they say. */
  readonly problems: readonly { readonly line: number; readonly reason: string }[];
}

/** Reads htpasswd text. Empty lines and comments are skipped; the first line of a name counts. */
export function parseHtpasswd(text: string): Htpasswd {
  const users = new Map<string, string>();
  const hashes = new Map<string, PasswordHash>();
  const problems: { line: number; reason: string }[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const found = readLine(line, users);
    if (typeof found === "string") {
      problems.push({ line: index + 1, reason: found });
      continue;
    }
    users.set(found.name, found.hash);
    hashes.set(found.name, found.read);
  }
  const decoys = [...hashes.values()].toSorted((a, b) => a.cost - b.cost || (a.decoy < b.decoy ? -1 : 1)).map(({ decoy }) => decoy);
  const weak = [...hashes].flatMap(([name, { weak, advice }]) => (weak ? [{ name, advice }] : []));
  return { users, decoys, weak, problems };
}

/** A string: why the line cannot be used. */
function readLine(
  line: string,
  users: ReadonlyMap<string, string>,
): { readonly name: string; readonly hash: string; readonly read: PasswordHash } | string {
  const colon = line.indexOf(":");
  if (colon < 1) return "it is not name:hash";
  const name = line.slice(0, colon);
  const hash = line.slice(colon + 1);
  const read = readPasswordHash(hash);
  if (typeof read === "string") return read;
  if (users.has(name)) return "the name is there twice; the first line counts";
  return { name, hash, read };
}
