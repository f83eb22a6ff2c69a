// A queue in which everybody's turn comes in order, however much one of them has brought.

/** `Key`: whose it is. */
export class FairQueue<Key, Item> {
  /** In the order of their turns. */
  readonly #lines = new Map<Key, Item[]>();

  push(key: Key, item: Item): void {
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, [item]);
    else line.push(item);
  }

  /** The oldest of whoever waited longest for a turn; undefined: nobody waits. */
  next(): Item | undefined {
    for (const [key, line] of this.#lines) {
      const item = line.shift();
      this.#lines.delete(key);
      if (line.length > 0) this.#lines.set(key, line);
      return item;
    }
    return undefined;
  }
}
