// The operator, wired by hand: Kubernetes on one side, Git and the registry on the other, the control plane between them.

import { setTimeout as sleep } from "node:timers/promises";

import type { Registry } from "prom-client";

import { conditionTypes } from "../api/conditions.ts";
import { localUrl } from "../config/listen.ts";
import type { Listening } from "../listeners/listening.ts";
import { startProbes, type Check } from "../listeners/probes.ts";
import { Obstacles } from "../observability/obstacles.ts";
import { operatorMetrics } from "../observability/operator-metrics.ts";
import type { GitRecord } from "../record/repository.ts";
import type { ControlPlane } from "./control-plane.ts";
import { installationIn } from "./kube/installation.ts";
import { Leases } from "./kube/leases.ts";
import { administratorsOf } from "./record-callers.ts";
import { startRecordServer } from "./record-server.ts";
import { lead } from "./wiring/leading.ts";
import type { OperatorOptions } from "./wiring/options.ts";
import { partsOf, type Parts } from "./wiring/parts.ts";

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

const over = { reason: "RecordFollowed", message: "The record is followed and written again." };
/** Milliseconds between two attempts to read the installation. */
const askAgainAfter = 2_000;

class Operator implements RunningOperator {
  readonly failed: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #options: OperatorOptions;
  readonly #parts: Parts;
  readonly #metrics: Registry;
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
  /** Of the record: what it holds is served on meanwhile. */
  readonly #troubles: Obstacles;
  /** Why the installation is not known yet. */
  #obstacle: string | undefined = "the API server was not heard yet";
  #work: Promise<void> = Promise.resolve();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const failed = Promise.withResolvers<Error>();
    [this.failed, this.#fail] = [failed.promise, failed.resolve];
    this.#parts = partsOf(options, (namespace) => this.#leases?.barred(namespace));
    const { source, jobs } = this.#parts;
    this.#troubles = new Obstacles({ logger: options.logger, announce: options.announce, over });
    this.#metrics = operatorMetrics({
      version: options.version,
      leases: () => this.#leases?.states() ?? [],
      staleness: () => [...source.staleness(), ...(jobs?.staleness() ?? [])],
      resources: () => (this.#plane?.views() ?? []).map(({ kind, status }) => ({ kind, ready: readyOf(status.conditions) })),
      orphans: () => this.#plane?.record().orphans.length ?? 0,
    });
  }

  get summary(): string {
    const { listen } = this.#options;
    const probes = localUrl({ host: listen.host, port: this.#probes?.port ?? listen.port });
    const several = this.#parts.namespaces.length > 1;
    const record = this.#recordUrl === undefined ? "" : `; the record for git on ${this.#recordUrl}`;
    return `Watching ${several ? "namespaces" : "namespace"} ${this.#parts.namespaces.join(", ")}; probes and metrics on ${probes}${record}.`;
  }

  async start(): Promise<void> {
    this.#probes = await startProbes({
      listen: this.#options.listen,
      option: "--listen",
      checks: () => this.#checks(),
      metrics: this.#metrics,
    });
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
    await Promise.all([this.#parts.client.close(), this.#parts.control.close()]);
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
      admit: administratorsOf(registry),
      record: () => this.#record,
      logger,
    });
    this.#recordPort = server.port;
    this.#closing.push(() => server.stop());
  }

  #checks(): readonly Check[] {
    const found = this.#obstacles();
    const trouble = this.#troubles.current;
    const other = this.#plane?.record().other;
    return [
      ...(found.length === 0 ? [{ name: "cluster", ready: true, message: "everything that is watched was seen" }] : []),
      ...found.map((message) => ({ name: "cluster", ready: false, message })),
      // For people: what is published is served while Git is away.
      ...(trouble === undefined ? [] : [{ name: "record", ready: true, message: `${trouble.reason}: ${trouble.message}` }]),
      // The same after a restore: nobody waits for a word then.
      ...(other === undefined ? [] : [{ name: "installation", ready: true, message: `${other.reason}: ${other.message}` }]),
    ];
  }

  /** Not Git: what is published is served while Git is away, and a new pod must not wait for it. */
  #obstacles(): readonly string[] {
    if (this.#obstacle !== undefined) return [this.#obstacle];
    const unseen = [...this.#parts.source.obstacles(), ...(this.#parts.jobs?.problems() ?? [])];
    return [...unseen, ...(this.#leases?.foreign() ?? [])];
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    const installation = await this.#installation();
    if (installation === undefined) return;
    this.#obstacle = undefined;
    const leases = new Leases({
      client: this.#parts.client,
      namespaces: this.#parts.namespaces,
      identity: this.#parts.identity,
      installation,
      events: this.#parts.events,
      changed: () => this.#parts.source.look(),
      logger: this.#options.logger,
    });
    this.#leases = leases;
    this.#closing.push(() => this.#parts.source.stop());
    leases.start();
    this.#closing.push(() => leases.stop());
    await Promise.race([Promise.all([this.#parts.source.start(), leases.acquired]), ended]);
    if (signal.aborted) return;
    void leases.home.lost.then((why) =>
      this.#fail(
        new Error(
          `The Lease of namespace ${this.#parts.namespaces[0]} is lost (${why}): another process may lead by now, so this one ends.`,
        ),
      ),
    );
    // Namespaces have opened just now. A round that went by the picture before that would tell of everything in them that it could not be read.
    await Promise.race([this.#parts.source.lookNow(), ended]);
    if (signal.aborted) return;
    const hold = (record: GitRecord | undefined) => void (this.#record = record);
    this.#plane = await lead({
      installation,
      options: this.#options,
      parts: this.#parts,
      closing: this.#closing,
      hold,
      troubles: this.#troubles,
    });
  }

  /** Undefined: stopped before it was known. */
  async #installation(): Promise<string | undefined> {
    const { logger } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        return await installationIn(this.#parts.client, this.#parts.namespaces[0]);
      } catch (error) {
        const message = `the installation's ConfigMap in namespace ${this.#parts.namespaces[0]} could not be read or made: ${(error as Error).message}`;
        if (message !== this.#obstacle) logger.warn(`${message}; it is tried again`);
        this.#obstacle = message;
        await sleep(askAgainAfter, undefined, { signal }).catch(() => undefined);
      }
    }
    return undefined;
  }
}

function readyOf(conditions: readonly { readonly type: string; readonly status: string }[]): string {
  return conditions.find(({ type }) => type === conditionTypes.ready)?.status ?? "Unknown";
}
