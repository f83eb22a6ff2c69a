// The resources of the watched namespaces, with the Secrets and ConfigMaps that they name, as the control plane wants them: one picture that
// fits together. A resource is shown when what it names was fetched, so no Secret is called missing that was only not there yet;
// of one that could not be fetched it is not known whether it is there (`contentOf`).
//
// A list that was refused (no rights, no such kind) makes the picture of its namespace incomplete, and in an incomplete one nothing counts as deleted.
// So does a namespace that is itself being deleted. The other namespaces are none the worse for it.

import { conditionTypes } from "../../api/conditions.ts";
import type { MountedOwner } from "../../domain/mounted-secrets.ts";
import { keyString, kinds, type Kind, type ResourceKey } from "../../domain/resource.ts";
import type { SecretData, SecretSource } from "../../domain/secrets.ts";
import type { Logger } from "../../observability/logger.ts";
import type { SecretContent } from "../credentials/credentials-bundle.ts";
import type { ObservedResource, ResourceSnapshot, ResourceSource, SourceProblem } from "../ports.ts";
import type { KubeError } from "./errors.ts";
import { Informer, type InformerTimes } from "./informer.ts";
import type { KubeClient } from "./kube-client.ts";
import { referencesOf, type NamedReference } from "./named-references.ts";
import { NamedSecrets, type SecretKind, type WantedKeys } from "./named-secrets.ts";
import { fieldManager, paths, pluralOf, type CustomResource, type KubeObject } from "./objects.ts";
import { conditionOf, type ResourceStatus } from "./status-of.ts";
import { StandingNamespaces } from "./standing-namespaces.ts";
import { changedNamespaces, joined, type ClusterSnapshot, type Listed } from "./whole-picture.ts";

export interface ClusterSourceOptions {
  readonly client: KubeClient;
  readonly namespaces: readonly string[];
  /** Secrets and ConfigMaps that count although no resource names them. */
  readonly alsoNamed?: () => readonly (MountedOwner & Partial<Pick<NamedReference, "uses">>)[];
  /** Why a namespace's resources are not ours to look at; undefined: they are. */
  readonly barred?: (namespace: string) => string | undefined;
  readonly logger: Logger;
  readonly times?: Partial<InformerTimes>;
}

interface Watched {
  readonly namespace: string;
  readonly resources: readonly { readonly kind: Kind; readonly informer: Informer<CustomResource> }[];
  readonly secrets: NamedSecrets;
}

/** Milliseconds: until what could not be fetched is fetched again, and in which changes are one. */
const fetchAgainAfter = 5_000;
const breath = 20;

export class ClusterSource implements ResourceSource, SecretSource {
  readonly #options: ClusterSourceOptions;
  readonly #watched: readonly Watched[];
  readonly #standing: StandingNamespaces;
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  #snapshot: ClusterSnapshot = { resources: [], problems: [], complete: false, namespaces: new Map() };
  #objects: ReadonlyMap<string, CustomResource> = new Map();
  /** What listeners were told of last. */
  #told = "";
  #warned: ReadonlySet<string> = new Set();
  #due: NodeJS.Timeout | undefined;
  #settling: Promise<void> | undefined;
  #again = false;
  #later: NodeJS.Timeout | undefined;

  constructor(options: ClusterSourceOptions) {
    this.#options = options;
    const { client, logger, times } = options;
    this.#standing = new StandingNamespaces(options);
    this.#watched = options.namespaces.map((namespace) => ({
      namespace,
      resources: kinds.map((kind) => ({
        kind,
        informer: new Informer<CustomResource>({
          client,
          path: paths.resources(kind, namespace),
          logger,
          ...(times === undefined ? {} : { times }),
        }),
      })),
      secrets: new NamedSecrets({ client, namespace, logger, times }),
    }));
  }

  /** Resolves when every list was answered once, and the first picture is whole as far as it can be. */
  async start(): Promise<void> {
    const { signal } = this.#abort;
    for (const { resources, secrets } of this.#watched) {
      for (const { informer } of resources) informer.onChange(() => this.look());
      secrets.onNews(() => this.look());
    }
    for (const informer of this.#informers()) informer.start();
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.race([Promise.all(this.#informers().map(({ answered }) => answered)), stopped]);
    await this.#settle();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    clearTimeout(this.#due);
    clearTimeout(this.#later);
    this.#listeners.clear();
    await Promise.all(this.#informers().map((informer) => informer.stop()));
    await this.#settling;
  }

  snapshot(): ClusterSnapshot {
    return this.#snapshot;
  }

  /** As it is in the cluster, with the status that is written there. */
  object(key: ResourceKey): CustomResource | undefined {
    const informer = this.#watched
      .find(({ namespace }) => namespace === key.namespace)
      ?.resources.find(({ kind }) => kind === key.kind)?.informer;
    return informer?.items.get(key.name);
  }

  /** The ConfigMaps of a watched namespace, without their data. */
  configMaps(namespace: string): Pick<Informer<KubeObject>, "items" | "onChange"> | undefined {
    return this.#watched.find((watched) => watched.namespace === namespace)?.secrets.informers.ConfigMap;
  }

  secret(namespace: string, name: string): SecretData | undefined {
    return this.#data("Secret", namespace, name);
  }

  configMap(namespace: string, name: string): SecretData | undefined {
    return this.#data("ConfigMap", namespace, name);
  }

  /** Of a namespace that is not watched nothing is known. */
  contentOf({ kind, namespace, name }: MountedOwner): SecretContent {
    return this.#watched.find((watched) => watched.namespace === namespace)?.secrets.content(kind, name) ?? { state: "unknown" };
  }

  /** Why nothing is known of a namespace's Secrets; undefined: it is watched. */
  unwatched(namespace: string): string | undefined {
    const { namespaces } = this.#options;
    if (namespaces.includes(namespace)) return undefined;
    const way = `name a Secret of a namespace that it watches, or start it with --namespace ${namespace} too`;
    return `this operator does not watch namespace ${namespace} (it watches ${namespaces.join(", ")}): ${way}`;
  }

  unseen(namespace: string, name: string): string | undefined {
    const isUnread = () => this.contentOf({ kind: "Secret", namespace, name }).state === "unknown";
    return this.unwatched(namespace) ?? (isUnread() ? "it could not be read; it is tried again" : undefined);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Why this process is of no use yet, or not any more; empty when every list has synced. Of what goes wrong in others than the first namespace the
   * snapshot tells: who has one of those must not end an operator.
   */
  obstacles(): readonly string[] {
    const [home = ""] = this.#options.namespaces;
    const lists = this.#watched.flatMap((watched) =>
      listsOf(watched).filter(([, { problem }]) => watched.namespace === home || problem === undefined),
    );
    const standing = this.#standing.problems.get(home);
    return [...lists.flatMap(problemOf), ...(standing === undefined ? [] : [standing])].map(({ message }) => message);
  }

  /** Milliseconds since the API server was last heard, by collection. */
  staleness(): readonly { readonly path: string; readonly staleFor: number }[] {
    return this.#informers().map(({ path, staleFor }) => ({ path, staleFor }));
  }

  /** Something may have changed. What comes in the same breath (a status for each of a thousand resources) is one look. */
  look(): void {
    if (this.#abort.signal.aborted) return;
    this.#due ??= setTimeout(() => {
      this.#due = undefined;
      void this.#settle();
    }, breath);
  }

  /** Resolves when the picture is no older than this call. */
  async lookNow(): Promise<void> {
    await this.#settle();
  }

  #informers(): readonly Informer<KubeObject>[] {
    return this.#watched.flatMap(listsOf).map(([, informer]) => informer);
  }

  #data(kind: SecretKind, namespace: string, name: string): SecretData | undefined {
    return this.#watched.find((watched) => watched.namespace === namespace)?.secrets.data(kind, name);
  }

  /** One at a time; what comes meanwhile is looked at once more afterwards. */
  #settle(): Promise<void> {
    if (this.#settling !== undefined) {
      this.#again = true;
      return this.#settling;
    }
    this.#settling = this.#settleAll().finally(() => (this.#settling = undefined));
    return this.#settling;
  }

  async #settleAll(): Promise<void> {
    do {
      this.#again = false;
      const { listed, objects } = this.#picture();
      const standing = await this.#standing.look(changedNamespaces(this.#objects, objects));
      const snapshot = joined(listed, standing);
      this.#warn();
      const fetched = await Promise.all(this.#watched.flatMap((watched) => this.#obtain(watched, snapshot)));
      this.#snapshot = snapshot;
      this.#objects = objects;
      if (fetched.some(({ whole }) => !whole) || this.#standing.problems.size > 0) this.#lookLater();
      this.#tell(fetched.some(({ changed }) => changed));
    } while (this.#again && !this.#abort.signal.aborted);
  }

  #obtain({ namespace, secrets }: Watched, { resources }: ResourceSnapshot): readonly ReturnType<NamedSecrets["want"]>[] {
    const named = [
      ...resources.filter((resource) => resource.namespace === namespace).flatMap(({ spec }) => referencesOf(spec)),
      ...(this.#options.alsoNamed?.() ?? []).filter((also) => also.namespace === namespace),
    ];
    const of = (wanted: SecretKind): WantedKeys => {
      const byName = Map.groupBy(
        named.filter(({ kind }) => kind === wanted),
        ({ name }) => name,
      );
      return new Map([...byName].map(([name, all]) => [name, (key) => all.some(({ uses }) => uses?.(key) ?? true)]));
    };
    return [secrets.want("Secret", of("Secret")), secrets.want("ConfigMap", of("ConfigMap"))];
  }

  #lookLater(): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.look();
    }, fetchAgainAfter).unref();
  }

  #picture(): { readonly listed: Listed; readonly objects: ReadonlyMap<string, CustomResource> } {
    const objects = new Map<string, CustomResource>();
    const resources: ObservedResource[] = [];
    const problems: SourceProblem[] = this.#watched.flatMap(listsOf).flatMap(problemOf);
    const whole = new Map<string, boolean>();
    for (const { namespace, resources: collections } of this.#watched) {
      const barred = this.#options.barred?.(namespace);
      if (barred !== undefined) problems.push({ source: `namespace ${namespace}`, line: undefined, message: barred });
      whole.set(namespace, barred === undefined && collections.every(({ informer }) => informer.complete));
      if (barred !== undefined) continue;
      for (const { kind, informer } of collections) {
        for (const object of informer.items.values()) {
          const resource = observed(kind, namespace, object);
          resources.push(resource);
          objects.set(keyString(resource), object);
        }
      }
    }
    return { listed: { resources, problems, whole }, objects };
  }

  /** Of a list that is refused, once as long as it is. */
  #warn(): void {
    const refused = this.#watched.flatMap(listsOf).filter(([, { problem }]) => problem !== undefined);
    const now = new Set(refused.flatMap(problemOf).map(({ source, message }) => `${source}: ${message}`));
    for (const problem of now) if (!this.#warned.has(problem)) this.#options.logger.warn(problem);
    this.#warned = now;
  }

  /** Our own writes of a status are no news. */
  #tell(secretsChanged: boolean): void {
    const { resources, problems, namespaces } = this.#snapshot;
    const seen = resources.map((resource) => {
      const { uid, generation } = this.#objects.get(keyString(resource))?.metadata ?? {};
      return [keyString(resource), uid, generation, resource.annotations];
    });
    const now = JSON.stringify([seen, problems, [...namespaces]]);
    if (now === this.#told && !secretsChanged) return;
    this.#told = now;
    for (const listener of this.#listeners) listener();
  }
}

function observed(kind: Kind, namespace: string, { metadata, spec, status }: CustomResource): ObservedResource {
  const { name, generation, annotations = {} } = metadata;
  const there = (status ?? {}) as ResourceStatus & { readonly lastHandledReconcileAt?: string };
  const { lastHandledReconcileAt: handledRequest = "" } = there;
  const ready = conditionOf(conditionTypes.ready, there);
  const wasReady = ready?.status === "True" && ready.observedGeneration === generation;
  return { kind, namespace, name, generation, annotations, handledRequest, wasReady, spec, source: undefined, lineOf: () => undefined };
}

type List = readonly [plural: string, informer: Informer<KubeObject>, namespace: string];

function listsOf({ namespace, resources, secrets }: Watched): readonly List[] {
  return [
    ...resources.map(({ kind, informer }): List => [pluralOf(kind), informer, namespace]),
    ["secrets", secrets.informers.Secret, namespace],
    ["configmaps", secrets.informers.ConfigMap, namespace],
  ];
}

function problemOf([plural, { problem, complete }, namespace]: List): readonly SourceProblem[] {
  if (complete) return [];
  return [{ source: `namespace ${namespace}, ${plural}`, line: undefined, message: refusedList(plural, namespace, problem) }];
}

/** Why a list was refused, and what to do. */
export function refusedList(plural: string, namespace: string, problem: KubeError | undefined): string {
  if (problem === undefined) return "the API server was not heard yet";
  if (problem.status === 404)
    return `the API server does not know ${plural} of wharfinger.dev: install the definitions (kubectl apply -f crds/)`;
  if (problem.status === 401) return `the API server does not accept the credentials of ${fieldManager}: ${problem.message}`;
  return `the operator may not list and watch ${plural} in namespace ${namespace}: give its ServiceAccount the Role there (${problem.message})`;
}
