// Hashes of passwords that users may have: bcrypt, and argon2id in the form of the PHC string format. Who can write the users' Secret must not be
// able to stop the registry with it, so what a check may cost is bounded here.

export interface PasswordHash {
  readonly kind: "bcrypt" | "argon2id";
  /** Cheaper to guess against than OWASP asks for. */
  readonly weak: boolean;
  /** How such a hash is made well, for messages. */
  readonly advice: string;
  /** A hash whose check costs the same and that no password has. */
  readonly decoy: string;
  /** Orders hashes by what a check of them costs, cheapest first. */
  readonly cost: number;
}

/** bcrypt looks at no more of a password, so that all with the same first 72 would pass. */
export const mostBcryptBytes = 72;
/** argon2id looks at all of it; nobody's password is longer. */
export const mostArgon2Bytes = 1024;

const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** Above this one login would take minutes of processor time. */
const highestCost = 16;
/** What OWASP asks of bcrypt; `htpasswd -B` alone makes 5. */
const leastCost = 10;

/** Salt of 8 to 64 bytes, hash of 16 to 64. */
const argon2 = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$[A-Za-z0-9+/]{11,86}\$([A-Za-z0-9+/]{22,86})$/;
/** KiB: one check at a time has so much, in a process that may have 256 MiB. */
const mostMemory = 64 * 1024;
/** KiB times passes: about a second of processor time. */
const mostWork = 4 * mostMemory;
const mostLanes = 16;
/** The cheapest of OWASP's choices (7 MiB, five passes): memory and work. */
const leastMemory = 7 * 1024;
const leastWork = 5 * leastMemory;

export const bcryptAdvice = `htpasswd -nbB -C ${leastCost}`;
const argon2Advice = "argon2 SALT -id -m 15 -t 2 -p 1 -e";

/** What is checked for a name that does not exist where there are no users to resemble. */
export const usualDecoy = bcryptDecoy(leastCost);

/** A string: why the hash cannot be used, as the rest of a sentence. */
export function readPasswordHash(hash: string): PasswordHash | string {
  return hash.startsWith("$argon2") ? readArgon2(hash) : readBcrypt(hash);
}

function readBcrypt(hash: string): PasswordHash | string {
  const digits = bcrypt.exec(hash)?.[1];
  if (digits === undefined) return "the hash is neither bcrypt nor argon2id; make it with htpasswd -B";
  const cost = Number(digits);
  if (cost > highestCost) return `the cost of the hash is above ${highestCost}`;
  return { kind: "bcrypt", weak: cost < leastCost, advice: bcryptAdvice, decoy: bcryptDecoy(cost), cost: 2 ** cost };
}

function bcryptDecoy(cost: number): string {
  return `$2b$${String(cost).padStart(2, "0")}$5o.KFgq/jtfVr4dH6kyiMOCOqz7fvaDuKE57U8u46/zzpzL9Lckh.`;
}

function readArgon2(hash: string): PasswordHash | string {
  const [, m, t, p, output = ""] = argon2.exec(hash) ?? [];
  if (m === undefined) return "the hash is not argon2id of version 19 with m, t and p; make it with argon2 -id -e";
  const [memory, passes, lanes] = [Number(m), Number(t), Number(p)];
  if (lanes < 1 || lanes > mostLanes) return `the hash has p=${lanes}, and may have 1 to ${mostLanes}`;
  if (memory < 8 * lanes) return `the hash has m=${memory}, and needs at least 8 for each of p`;
  if (memory > mostMemory) return `the hash has m=${memory}: a check may take ${mostMemory} KiB of memory`;
  if (passes < 1 || memory * passes > mostWork) return `the hash has m=${memory},t=${passes}: both multiplied may be ${mostWork} at most`;
  const decoy = `$argon2id$v=19$m=${memory},t=${passes},p=${lanes}$bm9ib2R5IGF0IGFsbA$${"A".repeat(output.length)}`;
  const weak = memory < leastMemory || memory * passes < leastWork;
  // About 1.4 ms for a MiB and pass, where bcrypt of cost 10 takes 50 ms: comparable is near enough, it only orders.
  return { kind: "argon2id", weak, advice: argon2Advice, decoy, cost: (memory * passes) / 36 };
}
