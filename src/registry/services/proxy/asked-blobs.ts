// Whether upstream has a blob, asked once for all who want to know, and believed for some seconds.

import { LRUCache } from "lru-cache";

import type { Digest } from "../../../domain/digest.ts";
import type { Priority } from "../../upstream/budget.ts";
import { SingleFlight } from "../single-flight.ts";
import type { Place } from "./upstreams.ts";

/** Milliseconds. */
const believedFor = 5000;

/** Bytes; undefined: upstream does not say. */
interface Found {
  readonly size: number | undefined;
}

export class AskedBlobs {
  readonly #asking = new SingleFlight<Found | undefined>();
  readonly #answers = new LRUCache<string, Found | "missing">({ max: 10_000, ttl: believedFor });

  /** One HEAD. Undefined: upstream said 404. Rejects with UpstreamError. */
  async ask(place: Place, digest: Digest, priority: Priority): Promise<Found | undefined> {
    const key = keyOf(place, digest);
    const known = this.#answers.get(key);
    if (known !== undefined) return known === "missing" ? undefined : known;
    return this.#asking.run(key, async () => {
      const found = await place.upstream.client.headBlob(place.repository, digest, priority);
      this.#answers.set(key, found ?? "missing");
      return found;
    });
  }

  isMissing(place: Place, digest: Digest): boolean {
    return this.#answers.get(keyOf(place, digest)) === "missing";
  }

  noteMissing(place: Place, digest: Digest): void {
    this.#answers.set(keyOf(place, digest), "missing");
  }
}

const keyOf = (place: Place, digest: Digest) => `${place.upstream.origin} ${place.repository} ${digest}`;
