// The Leases of all watched namespaces. The first is the operator's own and says which process leads. Each of the others only says whose installation
// the namespace is (ADR 0021): the process that leads holds it, renews it rarely, and its successor takes it over. So nobody can stop an installation
// from a namespace of his own.

import type { Logger } from "../../observability/logger.ts";
import type { Events } from "./events.ts";
import type { KubeClient } from "./kube-client.ts";
import { LeaseHolder, leaseName, type LeaseState, type LeaseTimes } from "./lease.ts";

export interface LeasesOptions {
  readonly client: KubeClient;
  /** The operator's own first. */
  readonly namespaces: readonly [string, ...string[]];
  readonly identity: string;
  readonly installation: string;
  readonly events: Events;
  /** A namespace was opened or closed. */
  readonly changed: () => void;
  readonly logger: Logger;
  /** Of the first, and of the others. */
  readonly times?: { readonly home: LeaseTimes; readonly others: LeaseTimes };
}

export class Leases {
  readonly home: LeaseHolder;
  /** This process leads, and it is known of which of the other namespaces it may look at. */
  readonly acquired: Promise<void>;
  readonly #others: ReadonlyMap<string, LeaseHolder>;
  readonly #options: LeasesOptions;

  constructor(options: LeasesOptions) {
    this.#options = options;
    const [home, ...others] = options.namespaces;
    this.home = this.#holder(home, "process");
    this.#others = new Map(others.map((namespace) => [namespace, this.#holder(namespace, "installation")]));
    this.acquired = this.home.acquired.then(async () => {
      const claims = [...this.#others.values()];
      for (const holder of claims) holder.start();
      await Promise.all(claims.map(({ tried }) => tried));
    });
  }

  start(): void {
    this.home.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all().map((holder) => holder.stop()));
  }

  /** Why the resources of a namespace are not ours to look at; undefined: they are. Of our own nobody asks who does not lead. */
  barred(namespace: string): string | undefined {
    const holder = this.#others.get(namespace);
    return holder === undefined || holder.holds ? undefined : sentenceOf(holder);
  }

  /** Two installations in our own namespace: a person has to settle that. Of the others an event tells, and the snapshot. */
  foreign(): readonly string[] {
    return this.home.state.state === "waiting" && this.home.state.foreign ? [sentenceOf(this.home)] : [];
  }

  states(): readonly { readonly namespace: string; readonly held: boolean }[] {
    return this.#all().map(({ namespace, state }) => ({ namespace, held: state.state === "held" }));
  }

  #all(): readonly LeaseHolder[] {
    return [this.home, ...this.#others.values()];
  }

  #holder(namespace: string, of: "process" | "installation"): LeaseHolder {
    const { client, identity, installation, logger, times } = this.#options;
    const holder: LeaseHolder = new LeaseHolder({
      client,
      namespace,
      identity,
      installation,
      of,
      logger,
      ...(times === undefined ? {} : { times: of === "process" ? times.home : times.others }),
      changed: (state) => this.#changed(holder, state),
    });
    return holder;
  }

  #changed(holder: LeaseHolder, state: LeaseState): void {
    const { events, logger, changed } = this.#options;
    const { namespace } = holder;
    if (state.state === "held") logger.info(`namespace ${namespace}: the Lease is ours`);
    else logger[state.foreign ? "warn" : "info"](sentenceOf(holder));
    if (state.state === "waiting" && state.foreign) {
      const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", namespace, name: leaseName };
      void events.say(lease, { type: "Warning", reason: "HeldByAnotherInstallation", note: sentenceOf(holder) });
    }
    changed();
  }
}

/** Why it is not surely ours. */
function sentenceOf({ namespace, state }: LeaseHolder): string {
  const lease = `the Lease ${namespace}/${leaseName}`;
  if (state.state === "held") return `${lease} could not be renewed in time, and may be another's by now`;
  if (state.holder === undefined) return `${lease} is not ours yet`;
  if (!state.foreign) return `${lease} is held by ${state.holder}, of this installation: this process waits for its turn`;
  return `${lease} is held by ${state.holder}, of another installation: one operator a namespace, take it out of the --namespaces of one of them`;
}
