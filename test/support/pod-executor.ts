// The kubelet of the tests: takes the Pods of a namespace and runs what they say as real processes of this machine, with the token that is
// projected into them from the API server and nothing else; says in their status how they are, and ends them when they are deleted.
//
//   const kubelet = await startPodExecutor(api, { namespace });   // every Pod runs as soon as it is there
//   kubelet.take = (pod) => pod !== "stuck";                       // or only those that the test wants to run
//   kubelet.freeze = () => true;                                   // started, and nothing done yet
//   (await kubelet.process(name)).kill("SIGKILL");                 // a node that dies, an OOM killer; "SIGCONT" lets it go on
//   await kubelet.stop();
//
// The command has to exist here: settings `jobs.command: [process.execPath, <program>]` (see `jobCommand`).

import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { answerTo } from "./eventually.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";

/** The program as `jobs.command` calls it here. */
export const jobCommand = [process.execPath, resolve(import.meta.dirname, "../../src/cli/main.ts")] as const;

const node = "node-of-the-tests";
/** Milliseconds between two looks. */
const lookEvery = 100;

interface TokenSource {
  readonly path: string;
  readonly audience?: string;
  readonly expirationSeconds?: number;
}

interface ProjectedSource {
  readonly serviceAccountToken?: TokenSource;
  readonly downwardAPI?: { readonly items: readonly { readonly path: string; readonly fieldRef: { readonly fieldPath: string } }[] };
}

export interface TestPod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly serviceAccountName: string;
    readonly containers: readonly [
      {
        readonly name: string;
        readonly image: string;
        readonly command?: readonly string[];
        readonly args?: readonly string[];
        readonly env?: readonly { readonly name: string; readonly value?: string }[];
        readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
      },
    ];
    readonly volumes?: readonly {
      readonly name: string;
      readonly projected?: { readonly sources: readonly ProjectedSource[] };
    }[];
  };
  readonly status?: { readonly phase?: string };
}

export interface PodExecutor {
  /** Whether a Pod is to be run, by its name; all by default. What is left alone stays Pending until the answer is another one. */
  take: (pod: string) => boolean;
  /** Whether a process is stopped (SIGSTOP) as soon as it is there; none by default. */
  freeze: (pod: string) => boolean;
  /** Pods of the namespace as they are. */
  pods(): Promise<readonly TestPod[]>;
  /** Of a Pod that runs. */
  process(pod: string): Promise<ChildProcess>;
  /** stdout and stderr of a Pod so far, also of one that is gone. */
  logs(pod: string): string;
  /** The most that ran at once. */
  most(): number;
  /** The token as it lies in the Pod's volume. */
  token(pod: string): string;
  /** Ends every process. */
  stop(): Promise<void>;
}

export async function startPodExecutor(api: KubernetesApi, { namespace }: { readonly namespace: string }): Promise<PodExecutor> {
  const executor = new Executor(api, namespace);
  await executor.start();
  return executor;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

class Executor implements PodExecutor {
  take: (pod: string) => boolean = () => true;
  freeze: (pod: string) => boolean = () => false;
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #abort = new AbortController();
  /** By name; also of Pods that have ended. */
  readonly #started = new Map<string, Running | undefined>();
  readonly #logs = new Map<string, string>();
  readonly #tokens = new Map<string, string>();
  #most = 0;
  #folder = "";
  #loop: Promise<void> = Promise.resolve();

  constructor(api: KubernetesApi, namespace: string) {
    this.#api = api;
    this.#namespace = namespace;
  }

  async start(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "wharfinger-pods-"));
    // Pods on a node that is not there would be collected.
    await this.#api.send("POST", "/api/v1/nodes", { body: { metadata: { name: node } } });
    this.#loop = this.#run();
  }

  async pods(): Promise<readonly TestPod[]> {
    const { body } = await this.#api.send<{ items?: readonly TestPod[] }>("GET", this.#path());
    return body.items ?? [];
  }

  process(pod: string): Promise<ChildProcess> {
    return answerTo(`Pod ${pod} runs`, () => this.#started.get(pod)?.child);
  }

  logs(pod: string): string {
    return this.#logs.get(pod) ?? "";
  }

  most(): number {
    return this.#most;
  }

  token(pod: string): string {
    return this.#tokens.get(pod) ?? "";
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
    const running = [...this.#started.values()].filter((pod) => pod !== undefined);
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      // A server that a test ends comes back.
      const pods = await this.pods().catch(() => []);
      await Promise.all(
        pods.map((pod) => this.#look(pod).catch((error: Error) => this.#log(pod.metadata.name, `kubelet: ${error.message}\n`))),
      );
      await sleep(lookEvery, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(pod: TestPod): Promise<void> {
    const { name, deletionTimestamp } = pod.metadata;
    const running = this.#started.get(name);
    if (deletionTimestamp !== undefined) {
      if (running !== undefined && running.child.exitCode === null && running.child.signalCode === null) {
        running.child.kill("SIGTERM");
        running.child.kill("SIGCONT");
      } else if (pod.spec.nodeName !== undefined) await this.#api.send("DELETE", `${this.#path(name)}?gracePeriodSeconds=0`);
      return;
    }
    if (this.#started.has(name) || pod.status?.phase !== "Pending" || !this.take(name)) return;
    this.#started.set(name, undefined);
    try {
      await this.#start(pod);
    } catch (error) {
      this.#started.delete(name);
      throw error;
    }
  }

  async #start(pod: TestPod): Promise<void> {
    const { name } = pod.metadata;
    if (pod.spec.nodeName === undefined) {
      const target = { apiVersion: "v1", kind: "Node", name: node };
      await this.#expect("POST", `${this.#path(name)}/binding`, { apiVersion: "v1", kind: "Binding", metadata: { name }, target });
    }
    const [container] = pod.spec.containers;
    const root = join(this.#folder, name);
    const mounts = await this.#mount(pod, root);
    const here = (text: string) => mounts.reduce((found, path) => found.replaceAll(path, join(root, path)), text);
    const [file = "", ...args] = [...(container.command ?? []), ...(container.args ?? [])].map(here);
    const env = Object.fromEntries((container.env ?? []).map((variable) => [variable.name, here(variable.value ?? "")]));
    const child = spawn(file, args, { cwd: root, env: { PATH: process.env["PATH"], ...env }, stdio: ["ignore", "pipe", "pipe"] });
    if (this.freeze(name)) child.kill("SIGSTOP");
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => this.#log(name, text));
    const exit = new Promise<number>((done) => {
      child.once("error", () => done(128));
      child.once("close", (code, signal) => done(code ?? (signal === "SIGKILL" ? 137 : 143)));
    });
    const startedAt = new Date().toISOString();
    await this.#tell(name, "Running", { running: { startedAt } });
    const ended = exit.then((exitCode) => this.#end(name, { exitCode, startedAt }));
    this.#started.set(name, { child, ended });
    const alive = [...this.#started.values()].filter(
      (one) => one !== undefined && one.child.exitCode === null && one.child.signalCode === null,
    );
    this.#most = Math.max(this.#most, alive.length);
  }

  /** Its projected tokens, bound to it as the kubelet asks for them, and its annotations. Resolves with the paths that are mounted. */
  async #mount({ metadata: { name, annotations = {} }, spec }: TestPod, root: string): Promise<readonly string[]> {
    await mkdir(root, { recursive: true });
    const mounts = spec.containers[0].volumeMounts ?? [];
    for (const mount of mounts) {
      const sources = spec.volumes?.find((volume) => volume.name === mount.name)?.projected?.sources ?? [];
      for (const { serviceAccountToken: source, downwardAPI } of sources) {
        for (const { path, fieldRef } of downwardAPI?.items ?? []) {
          const annotation = /^metadata\.annotations\['(.+)'\]$/.exec(fieldRef.fieldPath)?.[1] ?? "";
          await mkdir(join(root, mount.mountPath), { recursive: true });
          await writeFile(join(root, mount.mountPath, path), annotations[annotation] ?? "");
        }
        if (source === undefined) continue;
        const { audience = "", expirationSeconds = 3_600, path } = source;
        const wanted = { audience, expirationSeconds, pod: name };
        const token = await this.#api.serviceAccountToken(this.#namespace, spec.serviceAccountName, wanted);
        const place = join(root, mount.mountPath, path);
        await mkdir(dirname(place), { recursive: true });
        await writeFile(place, token);
        this.#tokens.set(name, token);
      }
    }
    return mounts.map(({ mountPath }) => mountPath);
  }

  async #end(name: string, { exitCode, startedAt }: { readonly exitCode: number; readonly startedAt: string }): Promise<void> {
    const reason = exitCode === 0 ? "Completed" : exitCode === 137 ? "OOMKilled" : "Error";
    const terminated = { exitCode, reason, startedAt, finishedAt: new Date().toISOString() };
    // A Pod that is gone has no status.
    await this.#tell(name, exitCode === 0 ? "Succeeded" : "Failed", { terminated }).catch(() => undefined);
  }

  async #tell(name: string, phase: string, state: object): Promise<void> {
    const container = { name: "job", image: "", imageID: "", ready: false, restartCount: 0, state };
    const body = { status: { phase, containerStatuses: [container] } };
    const { status } = await this.#api.send("PATCH", `${this.#path(name)}/status`, { body, contentType: "application/merge-patch+json" });
    if (status !== 200) throw new Error(`the status of ${name} could not be written: ${status}`);
  }

  async #expect(method: "POST", path: string, body: object): Promise<void> {
    const { status, body: answer } = await this.#api.send(method, path, { body });
    if (status > 299) throw new Error(JSON.stringify(answer));
  }

  #log(name: string, text: string): void {
    this.#logs.set(name, `${this.#logs.get(name) ?? ""}${text}`);
  }

  #path(name?: string): string {
    return `/api/v1/namespaces/${this.#namespace}/pods${name === undefined ? "" : `/${name}`}`;
  }
}
