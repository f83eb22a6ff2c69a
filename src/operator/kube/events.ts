// Events: what `kubectl describe` shows below a resource. Each thing once; what comes again counts up.

import { createHash } from "node:crypto";

import { adviceInCluster } from "../../domain/advice.ts";
import type { Logger } from "../../observability/logger.ts";
import { KubeError } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import { fieldManager, microTime, paths } from "./objects.ts";

export interface EventDraft {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  /** A sentence. */
  readonly note: string;
}

/** What an event is about. */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

const operator = "wharfinger.dev/operator";
/** As the API server has it. */
const longestNote = 1_024;
const longestName = 253;
/** The server forgets events after an hour; so many are remembered to count them up. */
const mostRemembered = 2_000;

export interface EventsOptions {
  readonly client: KubeClient;
  /** The process that reports. */
  readonly instance: string;
  /** What it is: the operator by default. */
  readonly controller?: string;
  /** What it did or tried. */
  readonly action?: string;
  readonly logger: Logger;
}

export class Events {
  readonly #client: KubeClient;
  readonly #said: { readonly action: string; readonly reportingController: string; readonly reportingInstance: string };
  readonly #logger: Logger;
  /** Namespaces in which we may write none: said once. */
  readonly #forbidden = new Set<string>();
  /** Name of the event → how often it came. */
  readonly #seen = new Map<string, number>();

  constructor({ client, instance, controller = operator, action = "Reconcile", logger }: EventsOptions) {
    this.#client = client;
    this.#said = { action, reportingController: controller, reportingInstance: instance.slice(0, 128) };
    this.#logger = logger;
  }

  /** Never rejects: an event that could not be written is no reason to stop. */
  async say(regarding: Regarding, draft: EventDraft): Promise<void> {
    const whole = adviceInCluster(draft.note);
    const note = whole.length > longestNote ? `${whole.slice(0, longestNote - 1)}…` : whole;
    const same = createHash("sha256")
      .update(JSON.stringify([regarding.uid, draft.type, draft.reason, note]))
      .digest("hex")
      .slice(0, 16);
    const name = `${regarding.name.slice(0, longestName - 17)}.${same}`;
    try {
      await this.#write(name, regarding, { ...draft, note });
    } catch (error) {
      if (error instanceof KubeError && error.status === 403) {
        if (this.#forbidden.has(regarding.namespace)) return;
        this.#forbidden.add(regarding.namespace);
      }
      this.#logger.warn(
        { error: String(error) },
        `an event of ${regarding.kind} ${regarding.namespace}/${regarding.name} could not be written`,
      );
    }
  }

  async #write(name: string, regarding: Regarding, draft: EventDraft): Promise<void> {
    const count = (this.#seen.get(name) ?? 0) + 1;
    if (count > 1 && (await this.#again(name, regarding.namespace, count))) return this.#remember(name, count);
    const made = await this.#make(name, regarding, draft);
    // One that a process before this one wrote.
    if (!made) await this.#again(name, regarding.namespace, 2);
    this.#remember(name, made ? 1 : 2);
  }

  /** false: it is there already. */
  async #make(name: string, regarding: Regarding, { type, reason, note }: EventDraft): Promise<boolean> {
    const { namespace } = regarding;
    const event = {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name, namespace },
      regarding,
      type,
      reason,
      note,
      ...this.#said,
      eventTime: microTime(new Date()),
    };
    try {
      await this.#client.send({ method: "POST", path: paths.events(namespace), query: { fieldManager }, body: event });
      return true;
    } catch (error) {
      if (error instanceof KubeError && error.reason === "AlreadyExists") return false;
      throw error;
    }
  }

  /** false: the server has forgotten it. */
  async #again(name: string, namespace: string, count: number): Promise<boolean> {
    try {
      await this.#client.send({
        method: "PATCH",
        path: `${paths.events(namespace)}/${name}`,
        query: { fieldManager },
        contentType: "application/merge-patch+json",
        body: { series: { count, lastObservedTime: microTime(new Date()) } },
      });
      return true;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return false;
      throw error;
    }
  }

  #remember(name: string, count: number): void {
    this.#seen.delete(name);
    this.#seen.set(name, count);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > mostRemembered && oldest !== undefined) this.#seen.delete(oldest);
  }
}
