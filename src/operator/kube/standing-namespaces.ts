// Do the namespaces stand? In one that is being deleted everything goes without anybody having meant it: a restore brings it back, and what was
// recorded of it, with what people decided about that, must still be there then.

import type { Logger } from "../../observability/logger.ts";
import type { SourceProblem } from "../ports.ts";
import { KubeError } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import { fieldManager, paths, type KubeObject } from "./objects.ts";

export interface StandingNamespacesOptions {
  readonly client: Pick<KubeClient, "send">;
  readonly namespaces: readonly string[];
  readonly logger: Logger;
}

export class StandingNamespaces {
  readonly #options: StandingNamespacesOptions;
  #problems: ReadonlyMap<string, SourceProblem> | undefined;

  constructor(options: StandingNamespacesOptions) {
    this.#options = options;
  }

  /** By namespace, why what is missing there does not count as deleted, as of the last look; empty: it does, or nobody has asked yet. */
  get problems(): ReadonlyMap<string, SourceProblem> {
    return this.#problems ?? new Map<string, SourceProblem>();
  }

  /** Asks when it matters: at first, when something is `missing` that was there, and as long as the answer was not a good one. Never rejects. */
  async look({ missing }: { readonly missing: boolean }): Promise<ReadonlyMap<string, SourceProblem>> {
    if (this.#problems?.size === 0 && !missing) return this.#problems;
    const { namespaces, logger } = this.#options;
    const asked = await Promise.all(namespaces.map(async (namespace) => [namespace, await this.#ask(namespace)] as const));
    const known = this.problems;
    const found = new Map(asked.flatMap(([namespace, problem]) => (problem === undefined ? [] : [[namespace, problem] as const])));
    this.#problems = found;
    for (const [namespace, { source, message }] of found)
      if (known.get(namespace)?.message !== message) logger.warn(`${source}: ${message}`);
    return found;
  }

  async #ask(namespace: string): Promise<SourceProblem | undefined> {
    const problem = (message: string): SourceProblem => ({ source: `namespace ${namespace}`, line: undefined, message });
    try {
      const { metadata } = await this.#options.client.send<KubeObject>({ path: paths.namespace(namespace) });
      return metadata.deletionTimestamp === undefined ? undefined : problem("it is being deleted: what goes with it is served on");
    } catch (error) {
      if (!(error instanceof KubeError)) return problem(`it could not be asked whether it is being deleted: ${String(error)}`);
      if (error.status === 404) return problem("it is gone: what was in it is served on");
      if (error.status !== 403) return problem(`it could not be asked whether it is being deleted: ${error.message}`);
      const todo = `give its ServiceAccount the Role there (${error.message})`;
      return problem(`${fieldManager} may not ask whether it is being deleted, so that nothing in it counts as deleted: ${todo}`);
    }
  }
}
