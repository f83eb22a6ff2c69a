// Keys that the processes of an installation share through its database: the first one that finds none makes one, and any of them the next.
//
// A new key is known everywhere before anything is signed with it: processes look every minute, and it is used when it is ten minutes old. The one
// before is kept until its last token has long expired. So neither a second process nor a start, an old process beside a new one or a clock that
// is wrong makes a token count here and not there.

import { setTimeout as sleep } from "node:timers/promises";

import { failpoint } from "#failpoints";

import { printable } from "../../domain/printable.ts";
import type { Logger } from "../../observability/logger.ts";
import type { Queryable } from "../metadata/database.ts";
import { addTokenKey, dropTokenKeys, readTokenKeys, type StoredKey } from "../metadata/token-keys.ts";
import { makeKey, readJwk, writeJwk, type SigningKey, type SigningKeys } from "./signing-key.ts";

const minute = 60_000;

/** Milliseconds. */
export const keyTimes = {
  /** A key that is this old gets a successor. */
  rotate: 24 * 60 * minute,
  /** What a key waits for before it signs, unless it is the only one. */
  settle: 10 * minute,
  /** What a key is kept after its successor was made. */
  keep: 60 * minute,
  look: minute,
  /** Between two looks for key ids that nobody knows: whoever makes them up asks the database no oftener. */
  ask: 1_000,
};

export interface StoredKeysOptions {
  readonly database: Queryable;
  /** Nothing is written: without a stored key this process signs with one of its own. */
  readonly readOnly: boolean;
  readonly logger: Logger;
  readonly times?: typeof keyTimes;
}

export class StoredKeys implements SigningKeys {
  readonly #options: StoredKeysOptions;
  readonly #times: typeof keyTimes;
  #keys: ReadonlyMap<string, SigningKey> = new Map();
  #current: SigningKey | undefined;
  #reading: Promise<ReadKeys> | undefined;
  #told: ReadonlySet<string> = new Set();
  #readAt = -Infinity;
  readonly #stopping = new AbortController();
  #following: Promise<void> = Promise.resolve();

  private constructor(options: StoredKeysOptions) {
    this.#options = options;
    this.#times = options.times ?? keyTimes;
  }

  /** Rejects when the database does not answer. */
  static async open(options: StoredKeysOptions): Promise<StoredKeys> {
    const keys = new StoredKeys(options);
    await keys.#look();
    keys.#following = keys.#follow();
    return keys;
  }

  current(): SigningKey | undefined {
    return this.#current;
  }

  known(id: string): SigningKey | undefined {
    return this.#keys.get(id);
  }

  async find(id: string): Promise<SigningKey | undefined> {
    const known = this.#keys.get(id);
    if (known !== undefined || (this.#reading === undefined && performance.now() - this.#readAt < this.#times.ask)) return known;
    // A database that is away makes no unknown key known.
    await this.#read().catch(() => undefined);
    return this.#keys.get(id);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#times.look, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await this.#look().catch((error: unknown) =>
        this.#options.logger.warn({ err: error }, "the keys of access tokens could not be looked at; those that are known go on"),
      );
    }
  }

  async #look(): Promise<void> {
    const { database, readOnly, logger } = this.#options;
    const { usable, odd } = await this.#read();
    const newest = usable.at(-1);
    if (newest !== undefined && newest.age < this.#times.rotate) return;
    const made = await makeKey();
    if (readOnly) {
      if (newest !== undefined || this.#current !== undefined) return;
      logger.warn("read-only, and the database has no key for access tokens: those of this process count nowhere else");
      this.#keys = new Map([[made.id, made]]);
      this.#current = made;
      return;
    }
    await failpoint("keys.making");
    await addTokenKey(database, { id: made.id, key: writeJwk(made) }, { milliseconds: this.#times.rotate, odd });
    await failpoint("keys.made");
    await dropTokenKeys(database, { milliseconds: this.#times.keep, odd });
    // Not an answer that was on its way before.
    await this.#readNow();
    if (this.#keys.has(made.id)) logger.info({ key: made.id }, "a new key for access tokens was made");
  }

  /** Those who ask at once share one answer. */
  #read(): Promise<ReadKeys> {
    this.#reading ??= this.#readNow().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readNow(): Promise<ReadKeys> {
    this.#readAt = performance.now();
    const stored = await readTokenKeys(this.#options.database);
    const read = await Promise.all(stored.map(async (one) => ({ one, key: this.#keys.get(one.id) ?? (await keyOf(one)) })));
    const usable = read.flatMap(({ one, key }) => (key === undefined ? [] : [{ age: one.age, key }]));
    const odd = read.flatMap(({ one, key }) => (key === undefined ? [one.id] : []));
    this.#tell(odd);
    if (usable.length === 0) return { usable, odd };
    this.#keys = new Map(usable.map(({ key }) => [key.id, key]));
    const settled = usable.findLastIndex(({ age }) => age >= this.#times.settle);
    this.#current = usable[Math.max(settled, 0)]?.key;
    return { usable, odd };
  }

  #tell(odd: readonly string[]): void {
    for (const id of odd.filter((one) => !this.#told.has(one))) {
      this.#options.logger.error(
        { key: printable(id, 100) },
        "a key for access tokens in the database (token_keys) cannot be read, or has another key's id: nothing is signed or verified with it",
      );
    }
    this.#told = new Set(odd);
  }
}

interface ReadKeys {
  /** Oldest first; ages in milliseconds. */
  readonly usable: readonly { readonly age: number; readonly key: SigningKey }[];
  /** Ids of rows that are none: of a version that is newer, or damaged. They count for nothing. */
  readonly odd: readonly string[];
}

/** Undefined: it is no key, or not the one that its id says. */
async function keyOf({ id, key }: StoredKey): Promise<SigningKey | undefined> {
  const read = await readJwk(key).catch(() => undefined);
  return read?.id === id ? read : undefined;
}
