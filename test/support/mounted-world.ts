// An operator's world whose registry is several processes, each of which mounts the Secret that the operator fills.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ControlClient } from "../../src/client/control-client.ts";
import { KubeletMount } from "./kubelet-mount.ts";
import { Kubelet } from "./kubelet.ts";
import { createNamespace } from "./kubernetes.ts";
import { installOperator, OperatorWorld, type WorldParts } from "./operator-world.ts";
import { createDatabase } from "./postgres.ts";
import { bucketOf, credentialsOf, startRegistryProcess } from "./registry-process.ts";
import { startS3Service } from "./s3-service.ts";
import { processToken, type ServingProcess } from "./serving-process.ts";
import { sharedApiServer } from "./shared-kubernetes.ts";

interface MountedParts extends WorldParts {
  readonly registries: readonly ServingProcess[];
  readonly kubelet: Kubelet;
}

export class MountedWorld extends OperatorWorld {
  /** The operator speaks to the first of them. */
  readonly registries: readonly ServingProcess[];
  readonly kubelet: Kubelet;

  private constructor(parts: MountedParts, stack: AsyncDisposableStack) {
    super(parts, stack);
    this.registries = parts.registries;
    this.kubelet = parts.kubelet;
  }

  /** With everything but an operator. `settings`: of the registry in its namespace, besides its database and storage. */
  static async of(processes: number, settings: (namespace: string) => Readonly<Record<string, unknown>>): Promise<MountedWorld> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "wharfinger-mounted-world-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const api = await sharedApiServer();
    const namespace = await createNamespace(api);
    const [database, s3] = await Promise.all([createDatabase(), startS3Service()]);
    stack.defer(() => database.drop());
    stack.defer(() => s3.stop());
    const whole = {
      ...settings(namespace),
      database: { url: database.url },
      storage: { s3: bucketOf(s3.settings) },
      spool: { folder: join(folder, "spool") },
    };
    const mounts = await Promise.all(Array.from({ length: processes }, (_, index) => KubeletMount.make(join(folder, `secrets-${index}`))));
    const registries: ServingProcess[] = [];
    for (const mount of mounts) {
      const started = await startRegistryProcess({ settings: whole, args: ["--secrets", mount.folder], env: credentialsOf(s3.settings) });
      stack.defer(async () => void (await started.stop()));
      registries.push(started);
    }
    const [registry] = registries;
    if (registry === undefined) throw new Error("a registry is one process at least");
    const kubelet = new Kubelet({ api, namespace, name: "wharfinger-credentials", mounts });
    stack.defer(() => kubelet.stop());
    const control = new ControlClient({ url: registry.url, token: processToken });
    stack.defer(() => control.close());
    const kubeconfig = await installOperator(api, namespace);
    return new MountedWorld({ api, namespace, folder, kubeconfig, registry, control, registries, kubelet }, stack.move());
  }
}
