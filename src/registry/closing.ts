// Many parts that are opened one after the other: all of them, or none.

/** Runs `open`, which adds how to close whatever it opens. When it rejects, that is closed, and nothing stays open. */
export async function openWhole<T>(open: (closing: Closing) => Promise<T>): Promise<T> {
  const closing = new Closing();
  try {
    return await open(closing);
  } catch (error) {
    // What cannot be closed must not hide why.
    await closing.run().catch(() => undefined);
    throw error;
  }
}

/** What was opened, closed in the opposite order, once; one step that fails leaves none of the others open. */
export class Closing {
  readonly #steps: (() => Promise<void>)[] = [];
  #run: Promise<void> | undefined;

  /** The end has begun. */
  get begun(): boolean {
    return this.#run !== undefined;
  }

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  run(): Promise<void> {
    this.#run ??= this.#close();
    return this.#run;
  }

  async #close(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps.reverse()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, "Not everything could be stopped in order");
  }
}
