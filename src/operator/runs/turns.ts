// Places for what runs at once, and who gets the next one that is free: namespaces take turns, so one with a thousand policies holds up nobody else.

export class Turns {
  readonly #places: number;
  #taken = 0;
  readonly #takenBy = new Map<string, number>();
  /** In the order in which namespaces were served last. */
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(places: number) {
    this.#places = places;
  }

  /** Resolves when there is a place; whoever took one gives it back. */
  async take(namespace: string): Promise<void> {
    if (this.#taken < this.#places) return this.#count(namespace, 1);
    const turn = Promise.withResolvers<void>();
    const others = this.#waiting.get(namespace);
    if (others === undefined) this.#waiting.set(namespace, [turn.resolve]);
    else others.push(turn.resolve);
    await turn.promise;
  }

  give(namespace: string): void {
    this.#count(namespace, -1);
    if (this.#taken < this.#places) this.#serve(this.#next());
  }

  /** Everybody who waits has a place: they only come to hear that it is over. */
  open(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) this.#serve(next);
  }

  /** Who has the fewest; of those with as many, who was served longest ago. */
  #next(): string | undefined {
    const placesOf = (namespace: string) => this.#takenBy.get(namespace) ?? 0;
    let found: string | undefined;
    for (const namespace of this.#waiting.keys()) {
      if (found === undefined || placesOf(namespace) < placesOf(found)) found = namespace;
    }
    return found;
  }

  #serve(namespace: string | undefined): void {
    if (namespace === undefined) return;
    const others = this.#waiting.get(namespace) ?? [];
    const start = others.shift();
    this.#waiting.delete(namespace);
    if (others.length > 0) this.#waiting.set(namespace, others);
    this.#count(namespace, 1);
    start?.();
  }

  #count(namespace: string, more: number): void {
    this.#taken += more;
    const taken = (this.#takenBy.get(namespace) ?? 0) + more;
    if (taken === 0) this.#takenBy.delete(namespace);
    else this.#takenBy.set(namespace, taken);
  }
}
