// Operators that make Jobs of policies, in the process of a test, on a cluster whose Pods run as real processes.

import { pino } from "pino";

import { ControlClient } from "../../src/client/control-client.ts";
import type { JobsSettings } from "../../src/config/settings.ts";
import type { EventDraft } from "../../src/operator/kube/events.ts";
import { KubernetesJobs } from "../../src/operator/kube/kubernetes-jobs.ts";
import { podSettings } from "../../src/operator/manifests/pod-settings.ts";
import type { JobOutcome, ScheduledJob } from "../../src/operator/ports.ts";
import { clientBy } from "./cluster-access.ts";
import { answerTo } from "./eventually.ts";
import { startJobCluster, type JobCluster } from "./job-cluster.ts";
import { publishFirst } from "./registry.ts";

export interface JobOperator {
  readonly jobs: KubernetesJobs;
  readonly events: EventDraft[];
  stop(): Promise<void>;
}

/** A prune of the RetentionPolicy default/<name>. */
export const prune = (name: string, slot = "29380200"): ScheduledJob => ({
  kind: "prune",
  policy: `default/${name}`,
  trigger: "schedule",
  slot,
});
export const never = () => new AbortController().signal;

export class JobOperators {
  readonly cluster: JobCluster;
  #started: JobOperator[] = [];

  private constructor(cluster: JobCluster) {
    this.cluster = cluster;
  }

  /** With a RetentionPolicy of each name. */
  static async on(names: readonly string[]): Promise<JobOperators> {
    const cluster = await startJobCluster();
    const spec = { repositories: { include: ["team/**"] }, keep: [{ name: "newest", mostRecentlyPushed: 1 }] };
    await publishFirst(
      cluster.registry.url,
      names.map((name) => ({ kind: "RetentionPolicy", name, spec })),
    );
    return new JobOperators(cluster);
  }

  /** A process that leads. */
  async start(settings: Partial<JobsSettings> = {}, { url = this.cluster.registry.url } = {}): Promise<JobOperator> {
    const { namespace, registry, kubeconfig, tokenFile } = this.cluster;
    const all = { ...this.cluster.settings, jobs: { ...this.cluster.settings.jobs, ...settings } };
    const client = await clientBy(kubeconfig);
    const control = new ControlClient({ url, tokenFile });
    const events: EventDraft[] = [];
    const jobs = new KubernetesJobs({
      client,
      control,
      namespace,
      settings: podSettings(all, { namespace, registry: registry.url, pullFrom: registry.url })!,
      say: (_, event) => events.push(event),
      logger: pino({ level: "silent" }),
    });
    jobs.start();
    const stop = async () => {
      await jobs.stop();
      await Promise.all([client.close(), control.close()]);
    };
    const started = { jobs, events, stop };
    this.#started.push(started);
    return started;
  }

  /** After a test: they end, and the kubelet takes and lets run what comes. */
  async endAll(): Promise<void> {
    await Promise.all(this.#started.splice(0).map((operator) => operator.stop()));
    this.cluster.kubelet.take = () => true;
    this.cluster.kubelet.freeze = () => false;
  }

  stop(): Promise<void> {
    return this.cluster.stop();
  }

  podOf(name: string, position = 0): Promise<string> {
    return answerTo(`${name} has Pod ${position}`, async () => (await this.podsOf(name))[position]?.metadata.name);
  }

  /** In the order of their creation. */
  async podsOf(name: string) {
    return (await this.cluster.kubelet.pods())
      .filter(({ metadata }) => metadata.labels?.["batch.kubernetes.io/job-name"]?.startsWith(`${name}-`))
      .sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1));
  }

  async jobsOf(name: string): Promise<readonly string[]> {
    const listed = (await this.cluster.kubectl("get", "jobs", "-o", "name")).split("\n");
    return listed.map((line) => line.replace("job.batch/", "")).filter((found) => found.startsWith(`${name}-`));
  }

  /** The run of a Pod, once the operator has registered it. */
  runOf(pod: string): Promise<string> {
    return answerTo(`Pod ${pod} has a run`, () => this.cluster.runOf(pod), { context: () => this.cluster.kubelet.logs(pod) });
  }

  async ended(outcome: Promise<JobOutcome | undefined>, pod?: string): Promise<JobOutcome> {
    const found = await outcome;
    if (found === undefined) throw new Error(`nothing is told of the job: ${pod === undefined ? "" : this.cluster.kubelet.logs(pod)}`);
    return found;
  }
}
