// What clients meant to do and what they were told, on disk before the next step: it survives whatever is killed, and judges it.

import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";

/** A push of a manifest with everything it names, or a delete of one. Digests are never used twice. */
export type Intent =
  | { readonly op: "push"; readonly repository: string; readonly tag: string; readonly digest: string; readonly blobs: readonly string[] }
  | { readonly op: "delete"; readonly repository: string; readonly digest: string };

export interface Entry {
  readonly intent: Intent;
  /** The registry answered that it is done. */
  acknowledged: boolean;
}

export class Journal {
  readonly #descriptor: number;
  readonly path: string;
  #count = 0;

  constructor(path: string) {
    this.path = path;
    this.#descriptor = openSync(path, "a");
  }

  /** Resolves with a number for `acknowledge`. */
  intend(intent: Intent): number {
    const id = this.#count++;
    this.#write({ id, ...intent });
    return id;
  }

  acknowledge(id: number): void {
    this.#write({ id, acknowledged: true });
  }

  /** Everything that was written, in its order, from the file. */
  read(): readonly Entry[] {
    const entries: Entry[] = [];
    for (const line of readFileSync(this.path, "utf8").split("\n").filter(Boolean)) {
      const { id, acknowledged, ...intent } = JSON.parse(line) as { id: number; acknowledged?: boolean } & Intent;
      if (acknowledged === true) entries[id]!.acknowledged = true;
      else entries[id] = { intent, acknowledged: false };
    }
    return entries;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #write(line: object): void {
    writeSync(this.#descriptor, `${JSON.stringify(line)}\n`);
    fdatasyncSync(this.#descriptor);
  }
}
