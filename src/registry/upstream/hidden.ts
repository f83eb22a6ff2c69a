// A value that cannot be printed by accident: not by a template string, JSON, a logger or an inspector.

import { inspect } from "node:util";

const censored = "[redacted]";

export class Hidden<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The only way to the value. Call it where it is sent, nowhere else. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return censored;
  }

  toJSON(): string {
    return censored;
  }

  [Symbol.toPrimitive](): string {
    return censored;
  }

  [inspect.custom](): string {
    return censored;
  }
}
