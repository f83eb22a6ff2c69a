// The operator, wired by hand: Kubernetes on one side, Git and the registry on the other, the control plane between them.

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import type { Registry } from "prom-client";

import { conditionTypes } from "../api/conditions.ts";
import { ControlClient } from "../client/control-client.ts";
import { localUrl, type ListenAddress } from "../config/listen.ts";
import type { Settings } from "../config/settings.ts";
import type { ResourceKey } from "../domain/resource.ts";
import type { Logger } from "../observability/logger.ts";
import { operatorMetrics } from "../observability/operator-metrics.ts";
import type { PlannedCommit } from "../record/commits.ts";
import { recordOptionsOf } from "../record/remote-options.ts";
import { openRecord, type GitRecord } from "../record/repository.ts";
import { startControlPlane, type ControlPlane } from "./control-plane.ts";
import { Delivery } from "./delivery.ts";
import { ClusterSource } from "./kube/cluster-source.ts";
import { CredentialsSecret, usualName as credentialsName } from "./kube/credentials-secret.ts";
import { eventOfCommit } from "./kube/commit-event.ts";
import type { ClusterAccess } from "./kube/credentials.ts";
import { Events, type EventDraft } from "./kube/events.ts";
import { byAnnotation, installationIn, installationName } from "./kube/installation.ts";
import { KubeClient } from "./kube/kube-client.ts";
import { KubernetesJobs } from "./kube/kubernetes-jobs.ts";
import { Leases } from "./kube/leases.ts";
import { groupVersion } from "./kube/objects.ts";
import { PersonsAnnotations } from "./kube/persons-annotations.ts";
import { RecordReporter } from "./kube/record-report.ts";
import { StatusWriter } from "./kube/status-writer.ts";
import { unseenUsers } from "./known-users.ts";
import type { Listening } from "./listening.ts";
import { podSettings } from "./manifests/pod-settings.ts";
import type { JobRunner } from "./ports.ts";
import { startProbes } from "./probes.ts";
import { administratorsOf } from "./record-callers.ts";
import { startRecordServer } from "./record-server.ts";
import { shownStatus } from "./record-status.ts";

export interface OperatorOptions {
  readonly access: ClusterAccess;
  /** To watch; the first is the administrators'. Empty: that of the credentials. */
  readonly namespaces: readonly string[];
  readonly settings: Settings;
  /** The registry's control API. */
  readonly registry: { readonly url: string; readonly tokenFile: string };
  /** The Secret that the registry's processes mount; default: `wharfinger-credentials` in the first namespace. */
  readonly credentials?: { readonly namespace?: string; readonly name: string };
  /** Folder of the record. */
  readonly record: string;
  /** Runs jobs inside of this process: where the settings name no image for Pods. */
  readonly jobs: JobRunner;
  /** Probes and metrics. */
  readonly listen: ListenAddress;
  /** The record for people's git, where it has no remote. */
  readonly recordListen: ListenAddress;
  readonly version: string;
  readonly logger: Logger;
}

export interface RunningOperator {
  readonly summary: string;
  /** It must end: the Lease is lost, or there is no record to write to. */
  readonly failed: Promise<Error>;
  /** Ends what is under way, and hands over. */
  stop(): Promise<void>;
}

/** Resolves when probes are answered; everything else comes when the API server does. */
export async function startOperator(options: OperatorOptions): Promise<RunningOperator> {
  const operator = new Operator(options);
  await operator.start();
  return operator;
}

/** Milliseconds between two attempts to read the installation. */
const askAgainAfter = 2_000;

class Operator implements RunningOperator {
  readonly failed: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #options: OperatorOptions;
  readonly #namespaces: readonly [string, ...string[]];
  readonly #identity = `${hostname()}_${randomUUID().slice(0, 8)}`;
  readonly #client: KubeClient;
  readonly #control: ControlClient;
  readonly #events: Events;
  readonly #source: ClusterSource;
  readonly #delivery: Delivery;
  readonly #writer: StatusWriter;
  readonly #metrics: Registry;
  /** Undefined: inside of this process. */
  readonly #jobs: KubernetesJobs | undefined;
  readonly #abort = new AbortController();
  /** In the opposite order of their opening. */
  readonly #closing: (() => Promise<void>)[] = [];
  #leases: Leases | undefined;
  #plane: ControlPlane | undefined;
  #probes: Listening | undefined;
  /** Undefined until this process leads. */
  #record: GitRecord | undefined;
  /** Where people's git finds it; undefined: at its remote. */
  #recordPort: number | undefined;
  /** Why the installation is not known yet. */
  #obstacle: string | undefined = "the API server was not heard yet";
  #work: Promise<void> = Promise.resolve();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { access, namespaces, settings, registry, logger, version } = options;
    const [home = access.namespace, ...others] = namespaces;
    this.#namespaces = [home, ...new Set(others.filter((namespace) => namespace !== home))];
    const failed = Promise.withResolvers<Error>();
    [this.failed, this.#fail] = [failed.promise, failed.resolve];
    this.#client = new KubeClient(access);
    this.#control = new ControlClient(registry);
    this.#events = new Events({ client: this.#client, instance: this.#identity, logger });
    this.#source = new ClusterSource({
      client: this.#client,
      namespaces: this.#namespaces,
      alsoNamed: () => [
        ...[settings.record.remote?.secretRef, settings.record.signing?.secretRef].flatMap((named) =>
          named === undefined ? [] : [{ kind: "Secret" as const, ...named }],
        ),
        ...this.#delivery.wanted,
      ],
      barred: (namespace) => this.#leases?.barred(namespace),
      logger,
    });
    const users = settings.access.users.secretRef;
    this.#delivery = new Delivery({
      store: new CredentialsSecret({ client: this.#client, home, namespace: home, name: credentialsName, ...options.credentials }),
      source: this.#source,
      // Where the users are somebody else's to look at, somebody else brings them.
      users: this.#namespaces.includes(users.namespace) ? [{ kind: "Secret", ...users, uses: (key) => key === "htpasswd" }] : [],
      precedence: {
        administrators: home,
        tenants: settings.tenants.map(({ namespace }) => namespace).filter((one) => this.#namespaces.includes(one)),
      },
      record: () => this.#control.record(),
      logger,
    });
    this.#writer = new StatusWriter({
      client: this.#client,
      events: this.#events,
      object: (key) => this.#source.object(key),
      logger,
    });
    const pods = podSettings(settings, { namespace: home, registry: registry.url });
    if (pods !== undefined) {
      this.#jobs = new KubernetesJobs({
        client: this.#client,
        control: this.#control,
        namespace: home,
        settings: pods,
        say: (policy, event) => this.#say(policy, event),
        logger,
      });
    }
    this.#metrics = operatorMetrics({
      version,
      leases: () => this.#leases?.states() ?? [],
      staleness: () => [...this.#source.staleness(), ...(this.#jobs?.staleness() ?? [])],
      resources: () => (this.#plane?.views() ?? []).map(({ kind, status }) => ({ kind, ready: readyOf(status.conditions) })),
      orphans: () => this.#plane?.record().orphans.length ?? 0,
    });
  }

  get summary(): string {
    const { listen } = this.#options;
    const probes = localUrl({ host: listen.host, port: this.#probes?.port ?? listen.port });
    const several = this.#namespaces.length > 1;
    const record = this.#recordUrl === undefined ? "" : `; the record for git on ${this.#recordUrl}`;
    return `Watching ${several ? "namespaces" : "namespace"} ${this.#namespaces.join(", ")}; probes and metrics on ${probes}${record}.`;
  }

  async start(): Promise<void> {
    this.#probes = await startProbes({ listen: this.#options.listen, obstacles: () => this.#obstacles(), metrics: this.#metrics });
    this.#closing.push(() => this.#probes?.stop() ?? Promise.resolve());
    await this.#serveRecord().catch(async (error: unknown) => {
      await this.#probes?.stop();
      throw error;
    });
    this.#work = this.#run().catch((error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))));
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#work;
    for (const close of this.#closing.reverse()) {
      await close().catch((error: unknown) => this.#options.logger.error({ err: error }, "a part of the operator did not stop in order"));
    }
    await Promise.all([this.#client.close(), this.#control.close()]);
  }

  get #recordUrl(): string | undefined {
    const { host } = this.#options.recordListen;
    return this.#recordPort === undefined ? undefined : `${localUrl({ host, port: this.#recordPort })}/record.git`;
  }

  /** At a remote it is served by that. */
  async #serveRecord(): Promise<void> {
    const { settings, recordListen, registry, logger } = this.#options;
    if (settings.record.remote !== undefined) return;
    const server = await startRecordServer({
      listen: recordListen,
      admit: administratorsOf(registry.url),
      record: () => this.#record,
      logger,
    });
    this.#recordPort = server.port;
    this.#closing.push(() => server.stop());
  }

  /** Not Git: what is published is served while Git is away, and a new pod must not wait for it. */
  #obstacles(): readonly string[] {
    if (this.#obstacle !== undefined) return [this.#obstacle];
    const unseen = [...this.#source.obstacles(), ...(this.#jobs?.problems() ?? [])];
    return [...unseen, ...(this.#leases?.foreign() ?? [])];
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    const installation = await this.#installation();
    if (installation === undefined) return;
    this.#obstacle = undefined;
    const leases = new Leases({
      client: this.#client,
      namespaces: this.#namespaces,
      identity: this.#identity,
      installation,
      events: this.#events,
      changed: () => this.#source.look(),
      logger: this.#options.logger,
    });
    this.#leases = leases;
    this.#closing.push(() => this.#source.stop());
    leases.start();
    this.#closing.push(() => leases.stop());
    await Promise.race([Promise.all([this.#source.start(), leases.acquired]), ended]);
    if (signal.aborted) return;
    void leases.home.lost.then((why) =>
      this.#fail(
        new Error(`The Lease of namespace ${this.#namespaces[0]} is lost (${why}): another process may lead by now, so this one ends.`),
      ),
    );
    await this.#lead(installation);
  }

  #tellOf(id: string, commit: PlannedCommit): void {
    const told = eventOfCommit(id, commit);
    if (told !== undefined) this.#say(told.key, told.event);
  }

  #say(key: ResourceKey, event: EventDraft): void {
    const { kind, namespace, name } = key;
    const uid = this.#source.object(key)?.metadata.uid;
    void this.#events.say({ apiVersion: groupVersion, kind, namespace, name, uid }, event);
  }

  /** Undefined: stopped before it was known. */
  async #installation(): Promise<string | undefined> {
    const { logger } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        return await installationIn(this.#client, this.#namespaces[0]);
      } catch (error) {
        const message = `the installation's ConfigMap in namespace ${this.#namespaces[0]} could not be read or made: ${(error as Error).message}`;
        if (message !== this.#obstacle) logger.warn(`${message}; it is tried again`);
        this.#obstacle = message;
        await sleep(askAgainAfter, undefined, { signal }).catch(() => undefined);
      }
    }
    return undefined;
  }

  async #lead(installation: string): Promise<void> {
    const { settings, logger, jobs, record: folder } = this.#options;
    const [home] = this.#namespaces;
    const { remote } = settings.record;
    const record = await openRecord({ folder, installation, ...recordOptionsOf(settings.record, this.#source), logger });
    this.#closing.push(() => record.close());
    this.#record = record;
    this.#closing.push(async () => {
      this.#record = undefined;
    });
    const word = new PersonsAnnotations({
      client: this.#client,
      source: this.#source,
      record,
      namespace: home,
      events: this.#events,
      logger,
    });
    const reporter = new RecordReporter({
      client: this.#client,
      namespace: home,
      installation,
      seen: () => this.#source.configMaps(home)?.items.get(installationName),
      remote,
      logger,
    });
    const users = settings.access.users.secretRef;
    const inPods = this.#jobs;
    inPods?.start();
    this.#closing.push(async () => inPods?.stop());
    const unseen = this.#source.unwatched(users.namespace);
    if (unseen !== undefined) logger.info(unseenUsers({ ...users, unseen }));
    if (inPods === undefined) logger.info("the setting jobs.image is not there: jobs run inside of this process, with its token");
    await this.#delivery.start();
    this.#closing.push(() => this.#delivery.stop());
    const plane = await startControlPlane({
      source: this.#source,
      secrets: this.#source,
      delivery: this.#delivery,
      users: { ...users, unseen },
      record,
      client: this.#control,
      jobs: inPods ?? jobs,
      jobsAtOnce: settings.jobs.maxConcurrent,
      logger,
      tenants: settings.tenants,
      administrators: home,
      howToSay: byAnnotation(home),
      committed: (id, commit) => this.#tellOf(id, commit),
      told: (views, status) => {
        this.#writer.take(views);
        reporter.take(shownStatus(status));
        void word.hear();
      },
    });
    this.#plane = plane;
    this.#closing.push(async () => {
      await plane.stop();
      await this.#writer.stop();
      await reporter.stop();
      await word.stop();
    });
  }
}

function readyOf(conditions: readonly { readonly type: string; readonly status: string }[]): string {
  return conditions.find(({ type }) => type === conditionTypes.ready)?.status ?? "Unknown";
}
