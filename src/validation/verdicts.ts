// Verdicts that are remembered: judging one resource takes a millisecond or two, and of a thousand that are looked at again one has changed.

import { isDeepStrictEqual } from "node:util";

import { keyString, type Kind } from "../domain/resource.ts";
import type { Digest } from "../domain/digest.ts";
import { turns } from "../domain/turns.ts";
import { specDigest } from "./canonical.ts";
import { validateResource, type Accepted, type Refused, type ResourceInput, type ValidationOptions } from "./validate-resource.ts";

interface Known {
  readonly spec: unknown;
  readonly options: ValidationOptions;
  readonly verdict: Accepted<Kind> | Refused;
}

/** The last verdict on each resource. What is judged must not be changed afterwards. */
export class Verdicts {
  readonly #validate: typeof validateResource;
  readonly #known = new Map<string, Known>();
  readonly #digests = new WeakMap<object, Digest>();

  constructor(validate = validateResource) {
    this.#validate = validate;
  }

  /** As validateResource. The same question has the same object for an answer. */
  of<K extends Kind>(resource: ResourceInput<K>, options: ValidationOptions = {}): Accepted<K> | Refused {
    const id = keyString(resource);
    const { spec } = resource;
    const known = this.#known.get(id);
    if (known !== undefined && isDeepStrictEqual(known.spec, spec) && isDeepStrictEqual(known.options, options)) {
      return known.verdict as Accepted<K> | Refused;
    }
    const verdict = this.#validate(resource, options);
    this.#known.set(id, { spec, options, verdict });
    return verdict;
  }

  /** Judges what is new before somebody asks, and lets others have their turn: resources as large as may be take thirty milliseconds each. */
  async ahead(resources: readonly ResourceInput[], optionsOf: (resource: ResourceInput) => ValidationOptions): Promise<void> {
    const pause = turns();
    for (const resource of resources) {
      this.of(resource, optionsOf(resource));
      await pause();
    }
  }

  /** Of a spec that was accepted here. */
  specDigest(kind: Kind, spec: object): Digest {
    const digest = this.#digests.get(spec) ?? specDigest(kind, spec);
    this.#digests.set(spec, digest);
    return digest;
  }

  /** Forgets all resources but these. */
  keep(resources: readonly Pick<ResourceInput, "kind" | "namespace" | "name">[]): void {
    const kept = new Set(resources.map(keyString));
    for (const id of this.#known.keys()) if (!kept.has(id)) this.#known.delete(id);
  }
}
