// What `kubectl get` would show, in memory: conditions that change only when something changed.

import { isDeepStrictEqual } from "node:util";

import { conditionTypes } from "../api/conditions.ts";
import type { Condition, ResourceView } from "../api/control/resources.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";

export interface ConditionDraft {
  readonly type: string;
  readonly status: Condition["status"];
  readonly reason: string;
  readonly message: string;
  /** Of the spec that it is about, where that may be an earlier one than the status's. */
  readonly observedGeneration?: number;
}

export interface Status {
  readonly key: ResourceKey;
  readonly generation: number;
  readonly source: string | undefined;
  readonly spec: unknown;
  readonly recordedGeneration: number | undefined;
  /** Commit that last changed the resource's file. */
  readonly revision: string | undefined;
  readonly conditions: readonly ConditionDraft[];
  /** The kind's own fields. */
  readonly details: Readonly<Record<string, unknown>>;
}

export class StatusStore {
  readonly #now: () => Date;
  readonly #changed: (view: ResourceView, before: ResourceView | undefined) => void;
  #views = new Map<string, ResourceView>();

  /** `changed` is called for every view that differs from the one before. */
  constructor(options: { now?: () => Date; changed?: (view: ResourceView, before: ResourceView | undefined) => void } = {}) {
    this.#now = options.now ?? (() => new Date());
    this.#changed = options.changed ?? (() => undefined);
  }

  /** Sorted by kind, namespace and name. */
  views(): ResourceView[] {
    return [...this.#views.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, view]) => view);
  }

  /** Whether the last word of this process was that a resource is Ready with this spec: what the API server tells may be older. */
  saidReady({
    key,
    generation,
    spec,
  }: {
    readonly key: ResourceKey;
    readonly generation: number | undefined;
    readonly spec: unknown;
  }): boolean {
    const view = this.#views.get(keyString(key));
    if (view === undefined || view.generation !== generation || !isDeepStrictEqual(view.spec, spec)) return false;
    return view.status.conditions.some(({ type, status }) => type === conditionTypes.ready && status === "True");
  }

  /** Takes over all statuses; what is not among them is gone. */
  replace(statuses: readonly Status[]): void {
    const before = this.#views;
    this.#views = new Map();
    for (const status of statuses) {
      const id = keyString(status.key);
      const old = before.get(id);
      const view = this.#view(status, old);
      const same = old !== undefined && JSON.stringify(old) === JSON.stringify(view);
      this.#views.set(id, same ? old : view);
      if (!same) this.#changed(view, old);
    }
  }

  #view(status: Status, old: ResourceView | undefined): ResourceView {
    const { kind, namespace, name } = status.key;
    return {
      kind,
      namespace,
      name,
      generation: status.generation,
      ...(status.source === undefined ? {} : { source: status.source }),
      spec: status.spec,
      status: {
        observedGeneration: status.generation,
        ...(status.recordedGeneration === undefined ? {} : { recordedGeneration: status.recordedGeneration }),
        ...(status.revision === undefined ? {} : { revision: status.revision }),
        conditions: status.conditions.map((draft) => this.#condition(draft, status.generation, old)),
        ...(Object.keys(status.details).length === 0 ? {} : { details: { ...status.details } }),
      },
    };
  }

  #condition(draft: ConditionDraft, generation: number, old: ResourceView | undefined): Condition {
    const before = old?.status.conditions.find(({ type }) => type === draft.type);
    const lastTransitionTime = before?.status === draft.status ? before.lastTransitionTime : this.#now().toISOString();
    return { ...draft, lastTransitionTime, observedGeneration: Math.min(draft.observedGeneration ?? generation, generation) };
  }
}
