// Runs of which it is remembered that they were heard: from the registry and from our own job, in either order.

const longest = 1_000;

export class HeardRuns {
  readonly #runs = new Set<string>();

  /** Remembers it. Answers whether it is news. */
  hear(run: string): boolean {
    // A run that could not even be registered has no id.
    if (run === "") return true;
    const news = !this.#runs.has(run);
    this.#runs.add(run);
    const [oldest] = this.#runs;
    if (this.#runs.size > longest && oldest !== undefined) this.#runs.delete(oldest);
    return news;
  }
}
