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

export interface Standing {
  /** Undefined: it could not be asked. */
  readonly uid: string | undefined;
  /** Why what is missing in it does not count as deleted; undefined: it does. */
  readonly problem: SourceProblem | undefined;
}

export class StandingNamespaces {
  readonly #options: StandingNamespacesOptions;
  readonly #known = new Map<string, Standing>();

  constructor(options: StandingNamespacesOptions) {
    this.#options = options;
  }

  /** By namespace, as of the last look; empty also when nobody has asked yet. */
  get problems(): ReadonlyMap<string, SourceProblem> {
    return new Map([...this.#known].flatMap(([namespace, { problem }]) => (problem === undefined ? [] : [[namespace, problem] as const])));
  }

  /**
   * Asks when it matters: at first, of namespaces in which something came or went (`changed`), and as long as an answer was not a good one. Never
   * rejects.
   */
  async look(changed: ReadonlySet<string>): Promise<ReadonlyMap<string, Standing>> {
    const { namespaces, logger } = this.#options;
    const due = namespaces.filter((namespace) => {
      const known = this.#known.get(namespace);
      return known === undefined || known.problem !== undefined || changed.has(namespace);
    });
    const asked = await Promise.all(due.map(async (namespace) => [namespace, await this.#ask(namespace)] as const));
    for (const [namespace, standing] of asked) {
      const { problem } = standing;
      if (problem !== undefined && problem.message !== this.#known.get(namespace)?.problem?.message)
        logger.warn(`${problem.source}: ${problem.message}`);
      this.#known.set(namespace, standing);
    }
    return this.#known;
  }

  async #ask(namespace: string): Promise<Standing> {
    let uid: string | undefined;
    const problem = (message: string): Standing => ({ uid, problem: { source: `namespace ${namespace}`, line: undefined, message } });
    try {
      const { metadata } = await this.#options.client.send<KubeObject>({ path: paths.namespace(namespace) });
      ({ uid } = metadata);
      return metadata.deletionTimestamp === undefined
        ? { uid, problem: undefined }
        : problem("it is being deleted: what goes with it is served on");
    } catch (error) {
      if (!(error instanceof KubeError)) return problem(`it could not be asked whether it is being deleted: ${String(error)}`);
      if (error.status === 404) return problem("it is gone: what was in it is served on");
      if (error.status !== 403) return problem(`it could not be asked whether it is being deleted: ${error.message}`);
      const todo = `give its ServiceAccount the Role there (${error.message})`;
      return problem(`${fieldManager} may not ask whether it is being deleted, so that nothing in it counts as deleted: ${todo}`);
    }
  }
}
