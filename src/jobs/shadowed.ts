// Upstream's tags behind minted ones: asked once for each image, told in the result of the run.

import type { ControlClient } from "../client/control-client.ts";
import type { ShadowedTags } from "../api/control/versions.ts";
import { ClientError } from "../client/errors.ts";
import { printable } from "../domain/printable.ts";

export interface ShadowedResult {
  readonly total: number;
  /** As they are pulled here, `cgr/chainguard/nginx:1.27.3`; at most 20. */
  readonly tags: readonly string[];
  /** Images of which upstream did not say what it has, and why, of the first. */
  readonly unknown?: { readonly images: number; readonly message: string };
}

const maxNamed = 20;

export interface ShadowedContext {
  readonly control: Pick<ControlClient, "shadowedTags">;
  readonly signal: AbortSignal;
}

/** Never rejects for an answer that cannot be had: no version is wrong for it; only when `signal` aborts. `repository` with its prefix. */
export async function shadowedOf({ control, signal }: ShadowedContext, repository: string): Promise<ShadowedTags> {
  try {
    return await control.shadowedTags(repository, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ClientError)) throw error;
    return { total: 0, tags: [], unknown: printable(error.message, 500) };
  }
}

/** Of all images together. */
export class ShadowTally {
  readonly #named: string[] = [];
  readonly #unknown: string[] = [];
  #total = 0;

  note(repository: string, { total, tags, unknown }: ShadowedTags): void {
    this.#total += total;
    this.#named.push(...tags.slice(0, maxNamed - this.#named.length).map((tag) => `${repository}:${tag}`));
    if (unknown !== undefined) this.#unknown.push(unknown);
  }

  /** Undefined: upstream said of all images what it has, and none of it is behind a minted tag. */
  result(): ShadowedResult | undefined {
    const [message] = this.#unknown;
    if (this.#total === 0 && message === undefined) return undefined;
    return {
      total: this.#total,
      tags: this.#named,
      ...(message === undefined ? {} : { unknown: { images: this.#unknown.length, message } }),
    };
  }
}
