// Hears what a person says by annotations of the installation's ConfigMap, and tells the record.

import { findCommit } from "../../record/confirm.ts";
import { parseRemovalWord, type RemovalWord } from "../../record/removal-word.ts";
import type { GitRecord } from "../../record/repository.ts";
import type { Logger } from "../../observability/logger.ts";
import type { PersonsDecision } from "../persons-word.ts";
import type { ClusterSource } from "./cluster-source.ts";
import type { Events } from "./events.ts";
import { decisionsOf, installationName, takeAway } from "./installation.ts";
import type { KubeClient } from "./kube-client.ts";
import type { KubeObject } from "./objects.ts";

const confirmations = { "accept-revision": "accepted", "confirm-removal": "removal" } as const;

export interface PersonsAnnotationsOptions {
  readonly client: Pick<KubeClient, "send">;
  readonly source: Pick<ClusterSource, "configMaps">;
  readonly record: Pick<GitRecord, "folder" | "confirm">;
  readonly namespace: string;
  readonly events: Pick<Events, "say">;
  readonly logger: Logger;
}

export class PersonsAnnotations {
  readonly #options: PersonsAnnotationsOptions;
  /** What was dealt with, by the version of the ConfigMap that said it: a watch shows it a while longer. */
  #done: ReadonlySet<string> = new Set();
  /** Words that the record has, and whose annotation could not be taken away yet: to hear them again would be a round each time. */
  readonly #taken = new Map<PersonsDecision, string>();
  readonly #unsubscribe: (() => void) | undefined;
  #hearing: Promise<void> = Promise.resolve();

  constructor(options: PersonsAnnotationsOptions) {
    this.#options = options;
    this.#unsubscribe = options.source.configMaps(options.namespace)?.onChange(() => void this.hear());
  }

  /** Ends after what is being heard. */
  async stop(): Promise<void> {
    this.#unsubscribe?.();
    await this.#hearing;
  }

  /** Looks at the ConfigMap as it is now. Never rejects. */
  hear(): Promise<void> {
    this.#hearing = this.#hearing.then(() => this.#hear());
    return this.#hearing;
  }

  async #hear(): Promise<void> {
    const { source, namespace, logger } = this.#options;
    const object = source.configMaps(namespace)?.items.get(installationName);
    if (object === undefined) return;
    const said = decisionsOf(object).map(({ decision, word }) => ({
      decision,
      word,
      id: `${object.metadata.resourceVersion} ${decision} ${word}`,
    }));
    for (const [decision, word] of this.#taken) {
      if (!said.some((one) => one.decision === decision && one.word === word)) this.#taken.delete(decision);
    }
    for (const { decision, word, id } of said.filter((one) => !this.#done.has(one.id))) {
      try {
        await this.#take(object, decision, word);
        this.#done = new Set([...[...this.#done].slice(-10), id]);
      } catch (error) {
        logger.warn(
          { error: String(error) },
          `the annotation ${decision} of ConfigMap ${namespace}/${installationName} could not be taken; it is tried again`,
        );
      }
    }
  }

  async #take(object: KubeObject, decision: PersonsDecision, word: string): Promise<void> {
    const { client, events, namespace } = this.#options;
    const { uid } = object.metadata;
    const regarding = { apiVersion: "v1", kind: "ConfigMap", namespace, name: installationName, uid };
    const said = `${decision} ${word}`;
    if (this.#taken.get(decision) !== word && !(await this.#tell(decision, word))) {
      return events.say(regarding, {
        type: "Warning",
        reason: "UnknownCommit",
        note: `${said}: the record has no such commit; use the one that was asked for`,
      });
    }
    this.#taken.set(decision, word);
    await takeAway(client, object, decision);
    this.#taken.delete(decision);
    await events.say(regarding, { type: "Normal", reason: "Heard", note: `${said}: heard` });
  }

  /** false: the record has no such commit. */
  async #tell(decision: PersonsDecision, word: string): Promise<boolean> {
    const { record } = this.#options;
    // Of all namespaces, or of one: only what is said of a removal can be about one.
    const parsed: RemovalWord | undefined = decision === "confirm-removal" ? parseRemovalWord(word) : { commit: word };
    const commit = await findCommit({ folder: record.folder, commit: parsed?.commit ?? "" });
    if (commit === null) return false;
    await record.confirm(confirmations[decision], commit, parsed?.namespace);
    return true;
  }
}
