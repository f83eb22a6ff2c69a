// A cluster that is somebody else's: the chart is installed there, its nodes stay as they are. They pull from `localhost:<NodePort>`, which needs
// neither a name nor a certificate, and what stands around the installation is on this machine.

import { access, mkdtemp, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { kubectlOf } from "../kubernetes-access.ts";
import type { Cluster } from "./cluster.ts";
import { variable } from "./given-files.ts";

/** As JSON can say it. */
export interface GivenPlace {
  readonly kubeconfig: string;
  /** For what kubectl remembers. */
  readonly folder: string;
  /** Of this machine. */
  readonly address: string;
  readonly image: { readonly repository: string; readonly tag?: string; readonly digest?: string };
  /** Of one of its nodes, for this machine. */
  readonly node: string;
}

export interface OpenedCluster {
  readonly place: GivenPlace;
  /** Of its API server. */
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** As in docs/guides/nodes.md. */
const nodePort = 30500;

const variables = {
  kubeconfig: variable,
  image: "WHARFINGER_TEST_IMAGE",
  address: "WHARFINGER_TEST_ADDRESS",
} as const;

/** Changes nothing there. Rejects with what is missing, or why nothing should be installed there. */
export async function openGiven(environment: Environment = process.env): Promise<OpenedCluster> {
  const wanted = (name: keyof typeof variables, what: string) => required(environment, name, what);
  const kubeconfig = resolve(wanted("kubeconfig", "a file that opens the cluster"));
  const image = imageOf(
    wanted("image", "the image as the cluster's nodes have it or pull it, for example ghcr.io/wharfinger/wharfinger:0.1.0"),
  );
  const address = wanted("address", "an address of this machine that the cluster's Pods reach");
  const own = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map((one) => one.address));
  if (!own.includes(address))
    throw new Error(`${variables.address} is ${address}, and this machine has ${own.join(", ")}: the tests' servers listen there.`);
  await access(kubeconfig).catch(() => {
    throw new Error(`${variables.kubeconfig} names ${kubeconfig}, and there is no such file.`);
  });
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-given-"));
  const close = () => rm(folder, { recursive: true, force: true });
  const kubectl = kubectlOf({ kubeconfig, folder });
  const ask = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await kubectl(args);
    if (code !== 0) throw new Error(`${variables.kubeconfig}: kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout.trim();
  };
  try {
    const definitions = await ask("get", "customresourcedefinitions", "-o", "name");
    if (/\.wharfinger\.dev$/m.test(definitions))
      throw new Error(
        "There is a Wharfinger in this cluster already, and the run would take its definitions away: give it another cluster.",
      );
    const form = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}';
    const [node = ""] = (await ask("get", "nodes", "-o", `jsonpath=${form}`)).split(" ");
    const url = await ask("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}");
    return { place: { kubeconfig, folder, address, image, node }, url, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

function required(environment: Environment, name: keyof typeof variables, what: string): string {
  const value = environment[variables[name]] ?? "";
  if (value === "") throw new Error(`${variables[name]} is not set: name ${what}. CONTRIBUTING.md says what a given cluster needs.`);
  return value;
}

function imageOf(reference: string): GivenPlace["image"] {
  const { repository, tag, digest } =
    /^(?<repository>.+?)(:(?<tag>[^:/@]+))?(@(?<digest>sha256:[0-9a-f]{64}))?$/.exec(reference)?.groups ?? {};
  if (repository === undefined || (tag ?? digest) === undefined)
    throw new Error(`${variables.image} is ${reference}: write it with its tag or its digest.`);
  return { repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

export function givenCluster({ kubeconfig, folder, address, image, node }: GivenPlace): Cluster {
  const host = `localhost:${nodePort}`;
  // This machine asks one node, wherever the Pods are.
  const service = { type: "NodePort", nodePort, externalTrafficPolicy: "Cluster" };
  return {
    api: { kubeconfig, kubectl: kubectlOf({ kubeconfig, folder }) },
    addresses: { machine: address },
    image,
    entranceOf: () =>
      Promise.resolve({
        host,
        address: `${node}:${nodePort}`,
        values: { externalURL: `http://${host}`, tls: { enabled: false }, service },
        secrets: {},
        authority: "",
        publish: () => Promise.resolve(),
      }),
  };
}
