// The object of a write that has no session (one POST, a fill): announced before its first byte, touched while it is written (storage.md, U1).

import { failpoint } from "#failpoints";

import type { Database } from "../../metadata/database.ts";
import { abandonObject, announceObject, touchObject } from "../../metadata/objects.ts";

export class AnnouncedObject {
  readonly #database: Database;
  #key: string | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined until a byte is about to be stored. */
  get key(): string | undefined {
    return this.#key;
  }

  readonly announce = async (key: string): Promise<void> => {
    await announceObject(this.#database, key);
    this.#key = key;
    await failpoint("U1.announced");
  };

  /** Says that somebody still writes. False: its bytes were given up. */
  async touch(): Promise<boolean> {
    return this.#key === undefined || touchObject(this.#database, this.#key);
  }

  /** Its bytes will never be whole. */
  async abandon(): Promise<void> {
    if (this.#key !== undefined) await abandonObject(this.#database, this.#key);
  }
}
