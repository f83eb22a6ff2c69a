// One real node and its cluster: etcd, kube-apiserver, controllers and scheduler on this machine; containerd, kubelet, kube-proxy and CoreDNS in an
// enclosure of their own. What a test starts on this machine at `addresses.machine` is reachable from the node and its pods.

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startDistribution } from "../distribution.ts";
import { openApi, type KubernetesApi } from "../kubernetes-access.ts";
import { startApiServer, type ApiServer } from "../kubernetes.ts";
import type { Addresses } from "./addresses.ts";
import { setRegistryHost, startContainerd, type RegistryHost } from "./containerd.ts";
import { announce, startDns } from "./dns.ts";
import { createEnclosure, runInside } from "./enclosure.ts";
import { busyboxImage, pushRunnable } from "./images.ts";
import { startKubelet, type KubeletOptions } from "./kubelet.ts";
import { startKubeProxy } from "./kube-proxy.ts";
import { requireNode } from "./requirements.ts";
import { startScheduler } from "./scheduler.ts";

/** What every process of a test may do with it. */
export interface NodeAccess {
  readonly api: KubernetesApi;
  readonly addresses: Addresses;
  /** host:port of a registry of this machine, for images that must be there before any other: that of pause, and busybox. */
  readonly images: string;
  /** A shell with the usual commands. Its `wget` cannot look up names: it is linked against nothing. */
  readonly busybox: string;
  /** Tells containerd where the registry of that name is asked, from the next pull on. */
  setRegistryHost(name: string, host: RegistryHost): Promise<void>;
  /** Gives a name outside of the cluster an address, for pods and for the node. */
  announce(name: string, address: string): Promise<void>;
  /** A command on the node, to its end. Resolves with its stdout; rejects unless it ends with 0. */
  run(command: readonly string[]): Promise<string>;
}

export interface TestNode extends NodeAccess {
  readonly api: ApiServer;
  /** What another process opens it by (`openNode`), as JSON can say it. */
  readonly place: NodePlace;
  stop(): Promise<void>;
}

export interface NodePlace extends Pick<NodeAccess, "addresses" | "images" | "busybox"> {
  readonly folder: string;
  readonly holder: number;
  readonly api: { readonly folder: string; readonly url: string };
}

/** The same node, from another process than the one that started it. */
export async function openNode(place: NodePlace): Promise<NodeAccess> {
  return access(place, await openApi(place.api.folder, place.api.url));
}

function access<Api extends KubernetesApi>(place: NodePlace, api: Api) {
  const { addresses, images, busybox, holder } = place;
  return {
    api,
    addresses,
    images,
    busybox,
    setRegistryHost: (name: string, host: RegistryHost) => setRegistryHost(place, name, host),
    announce: (name: string, address: string) => announce(place, name, address),
    run: (command: readonly string[]) => runInside(holder, command),
  };
}

/** Resolves when it is ready for pods; rejects with what the machine lacks, or with the last words of what ended before. */
export async function startNode(options: KubeletOptions = {}): Promise<TestNode> {
  const stack = new AsyncDisposableStack();
  try {
    return await start(stack, options);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function start(stack: AsyncDisposableStack, options: KubeletOptions): Promise<TestNode> {
  const programs = await requireNode();
  const enclosure = await createEnclosure(await mkdtemp(join(tmpdir(), "wharfinger-node-")));
  stack.defer(() => enclosure.remove());
  const { addresses } = enclosure;
  const registry = await startDistribution({ address: addresses.machine });
  stack.defer(() => registry.stop());
  const reference = (name: string) => `${registry.host}/${name}`;
  const busybox = await busyboxImage(reference("busybox:1"), programs.busybox);
  const pause = { ...busybox, reference: reference("pause:1"), entrypoint: ["/bin/busybox"], command: ["sleep", "infinity"] };
  const [api] = await Promise.all([
    startApiServer({ controllers: true, cluster: addresses }).then((started) => {
      stack.defer(() => started.stop());
      return started;
    }),
    startContainerd(enclosure, { programs, pause: pause.reference }),
    setRegistryHost(enclosure, registry.host, { server: registry.url }),
    pushRunnable(busybox),
    pushRunnable(pause),
  ]);
  const scheduler = await startScheduler(api);
  stack.defer(() => scheduler.kill9());
  await Promise.all([startKubelet(enclosure, api, options), startKubeProxy(enclosure, api), startDns(enclosure, api)]);
  const place = {
    folder: enclosure.folder,
    holder: enclosure.holder,
    addresses,
    images: registry.host,
    busybox: busybox.reference,
    api: { folder: api.folder, url: api.url },
  };
  return { ...access(place, api), place, stop: () => stack.disposeAsync() };
}
