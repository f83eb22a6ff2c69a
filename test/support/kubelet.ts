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
  readonly #abort = new AbortController();
  readonly #loop: Promise<void>;

  constructor(options: {
    readonly api: KubernetesApi;
    readonly namespace: string;
    readonly name: string;
    readonly mounts: readonly KubeletMount[];
  }) {
    this.namespace = options.namespace;
    this.#loop = this.#run(options);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #run({ api, name, mounts }: ConstructorParameters<typeof Kubelet>[0]): Promise<void> {
    const pause = (milliseconds: number) => sleep(milliseconds, undefined, { signal: this.#abort.signal }).catch(() => undefined);
    let version: string | undefined;
    while (!this.#abort.signal.aborted) {
      // A server that a test ends comes back; what is mounted stays.
      const answer = await api.send<SecretObject>("GET", `/api/v1/namespaces/${this.namespace}/secrets/${name}`).catch(() => undefined);
      if (answer === undefined) {
        await pause(lookEvery);
        continue;
      }
      const { status, body } = answer;
      const found = status === 200 ? body.metadata.resourceVersion : undefined;
      if (found !== version) {
        await pause(this.delay);
        const content = Object.fromEntries(Object.entries(body.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")]));
        for (const mount of mounts) await mount.write(content);
        version = found;
      }
      await pause(lookEvery);
    }
  }
}
