// What the kubelet does for the processes of a registry: the Secret that is mounted, written into their folders some time after it changed.

import { setTimeout as sleep } from "node:timers/promises";

import type { KubeletMount } from "./kubelet-mount.ts";
import type { KubernetesApi } from "./kubernetes-access.ts";

interface SecretObject {
  readonly metadata: { readonly resourceVersion: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** Milliseconds between two looks. */
const lookEvery = 100;

export class Kubelet {
  /** Milliseconds between a change and its mount. */
  delay = 0;
  /** Of the Secret, which is that of the processes. */
  namespace: string;
  /** Mounts that stay as they are until they are released. */
  readonly #held = new Set<KubeletMount>();
  readonly #abort = new AbortController();
  readonly #loop: Promise<void>;
  readonly #mounts: readonly KubeletMount[];
  #writing: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly api: KubernetesApi;
    readonly namespace: string;
    readonly name: string;
    readonly mounts: readonly KubeletMount[];
  }) {
    this.namespace = options.namespace;
    this.#mounts = options.mounts;
    this.#loop = this.#run(options);
  }

  /** What changes from now on is not mounted before `release`: by none, or not by those of these numbers. Resolves when none is being written. */
  async hold(...numbers: readonly number[]): Promise<void> {
    for (const [number, mount] of this.#mounts.entries()) if (numbers.length === 0 || numbers.includes(number)) this.#held.add(mount);
    await this.#writing;
  }

  release(): void {
    this.#held.clear();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #run({ api, name, mounts }: ConstructorParameters<typeof Kubelet>[0]): Promise<void> {
    const pause = (milliseconds: number) => sleep(milliseconds, undefined, { signal: this.#abort.signal }).catch(() => undefined);
    /** Of the Secret, as it is mounted. */
    const versions = new Map<KubeletMount, string | undefined>();
    while (!this.#abort.signal.aborted) {
      // A server that a test ends comes back; what is mounted stays.
      const answer = await api.send<SecretObject>("GET", `/api/v1/namespaces/${this.namespace}/secrets/${name}`).catch(() => undefined);
      const found = answer?.status === 200 ? answer.body.metadata.resourceVersion : undefined;
      const old = answer === undefined ? [] : mounts.filter((mount) => !this.#held.has(mount) && versions.get(mount) !== found);
      if (old.length > 0) {
        await pause(this.delay);
        const data = Object.entries(answer?.body.data ?? {});
        const content = Object.fromEntries(data.map(([key, value]) => [key, Buffer.from(value, "base64")]));
        for (const mount of old) {
          if (this.#held.has(mount)) continue;
          this.#writing = mount.write(content);
          await this.#writing;
          versions.set(mount, found);
        }
      }
      await pause(lookEvery);
    }
  }
}
