// The robots of an installation: users for machines, one key of a Secret each, whose passwords are made by chance (`wharfinger robot create`) and so
// need no slow hash.

import type { SecretData } from "./secrets.ts";

export interface Robot {
  /** SHA-256 of its password, lower case hexadecimal. */
  readonly sha256: string;
  /** Milliseconds since 1970; undefined: it does not expire. */
  readonly expires?: number;
}

export interface Robots {
  readonly robots: ReadonlyMap<string, Robot>;
  /** Keys that cannot be used, and why; never what they hold. */
  readonly problems: readonly { readonly key: string; readonly reason: string }[];
}

const namePattern = /^[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?$/;
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
/** 32 bytes by chance: whoever hashes a word of his own instead has a robot that nobody can log in as. */
const passwordPattern = /^wfr_[A-Za-z0-9_-]{43}$/;

export function isRobotPassword(password: string): boolean {
  return passwordPattern.test(password);
}

/** `users`: names that are users already; those stay theirs. */
export function parseRobots(data: SecretData, users: ReadonlyMap<string, unknown>): Robots {
  const robots = new Map<string, Robot>();
  const problems: { key: string; reason: string }[] = [];
  for (const [key, bytes] of [...data].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const found = readRobot(key, bytes, users);
    if (typeof found === "string") problems.push({ key, reason: found });
    else robots.set(key, found);
  }
  return { robots, problems };
}

/** A string: why there is no such robot. */
function readRobot(name: string, bytes: Uint8Array, users: ReadonlyMap<string, unknown>): Robot | string {
  if (!namePattern.test(name)) return "a robot's name has at most 63 of a-z, 0-9, - and ., and begins and ends with a letter or digit";
  if (users.has(name)) return "a user in htpasswd has this name: give the robot another one, or take the user out";
  const value = objectIn(bytes);
  if (value === undefined) return 'it is not {"sha256":"…","expires":"…"} in JSON; make it with wharfinger robot create';
  const { sha256, expires, ...others } = value;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    return `it has a field that robots do not have (${JSON.stringify(unknown.slice(0, 40))}): sha256 and expires are known`;
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/i.test(sha256))
    return "sha256 is not the SHA-256 of a password, 64 hexadecimal digits";
  if (expires === undefined) return { sha256: sha256.toLowerCase() };
  const time = typeof expires === "string" && instant.test(expires) ? Date.parse(expires) : NaN;
  if (Number.isNaN(time)) return "expires is not a time like 2027-01-01T00:00:00Z";
  return { sha256: sha256.toLowerCase(), expires: time };
}

function objectIn(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
