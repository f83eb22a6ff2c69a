// The programs of a Kubernetes control plane. They are looked for where envtest's users have them, and built where nobody has them.

import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { isExecutable } from "./executables.ts";
import { build, cached, cacheFolder, pinnedVersion, type GoProgram } from "./go-programs.ts";

const run = promisify(execFile);

export const kubernetesPrograms = ["etcd", "kube-apiserver", "kubectl", "kube-controller-manager"] as const;
/** What a cluster with a node has besides. */
export const nodePrograms = ["kube-scheduler", "kubelet", "kube-proxy", "coredns"] as const;
type KubernetesProgram = (typeof kubernetesPrograms)[number] | (typeof nodePrograms)[number];

/** setup-envtest's download has the others. */
const onlyBuilt: ReadonlySet<string> = new Set(["kube-controller-manager", ...nodePrograms]);

export function isKubernetesProgram(name: string): name is KubernetesProgram {
  return ([...kubernetesPrograms, ...nodePrograms] as readonly string[]).includes(name);
}

/**
 * Absolute path of a program: from `KUBEBUILDER_ASSETS`, the cache, what setup-envtest downloads (a few of them), or built.
 * `setupEnvtest`: where setup-envtest is.
 */
export async function kubernetesProgram(name: KubernetesProgram, setupEnvtest: () => Promise<string>): Promise<string> {
  const assets = process.env["KUBEBUILDER_ASSETS"];
  if (assets !== undefined && (await isExecutable(join(assets, name)))) return join(assets, name);
  const wanted = await goProgram(name);
  const kept = (await cached(wanted)) ?? (await inDownload(name));
  if (kept !== undefined) return kept;
  if (!onlyBuilt.has(name)) {
    downloading ??= download(setupEnvtest);
    await downloading;
    const downloaded = await inDownload(name);
    if (downloaded !== undefined) return downloaded;
  }
  return build(wanted);
}

const otherwise = "KUBEBUILDER_ASSETS to a folder that has it";

async function goProgram(name: KubernetesProgram): Promise<GoProgram> {
  if (name === "etcd") {
    const version = await pinnedVersion("etcd", "go.etcd.io/etcd/server/v3");
    return { name, version, package: "go.etcd.io/etcd/server/v3", pinnedIn: "etcd", otherwise };
  }
  if (name === "coredns") {
    const version = await pinnedVersion("coredns", "github.com/coredns/coredns");
    return { name, version, package: "wharfinger.dev/test/tools/coredns", pinnedIn: "coredns", otherwise };
  }
  const version = await kubernetesVersion();
  const [major = "", minor = ""] = version.slice(1).split(".");
  const of = "k8s.io/component-base/version";
  return {
    name,
    version,
    package: `k8s.io/kubernetes/cmd/${name}`,
    pinnedIn: "kubernetes",
    // Without them it calls itself v0.0.0-master+$Format:%H$, which its clients cannot read.
    variables: { [`${of}.gitVersion`]: version, [`${of}.gitMajor`]: major, [`${of}.gitMinor`]: minor, [`${of}.gitTreeState`]: "clean" },
    otherwise,
    patience: "; the programs of Kubernetes take about nine minutes together on two cores",
  };
}

const kubernetesVersion = () => pinnedVersion("kubernetes", "k8s.io/kubernetes");

const downloads = () => join(cacheFolder(), "envtest");

/** Milliseconds: some 150 MB through a slow line. */
const downloadPatience = 600_000;
let downloading: Promise<void> | undefined;

async function download(setupEnvtest: () => Promise<string>): Promise<void> {
  const version = (await kubernetesVersion()).replace(/^v(\d+\.\d+)\..*$/, "$1.x");
  process.stderr.write(`downloading kube-apiserver, kubectl and etcd ${version} with setup-envtest (once, kept in ${downloads()})\n`);
  try {
    const args = ["use", version, "--bin-dir", downloads(), "--print", "path"];
    await run(await setupEnvtest(), args, { timeout: downloadPatience });
  } catch (error) {
    const reason = (error as Error).message.trim().split("\n").at(-1);
    process.stderr.write(`they cannot be downloaded, so they are built (${reason})\n`);
  }
}

/** setup-envtest keeps a version in `k8s/<version>-<system>-<processor>`. */
async function inDownload(name: KubernetesProgram): Promise<string | undefined> {
  const minor = (await kubernetesVersion()).replace(/^v(\d+\.\d+\.).*$/, "$1");
  const versions = await readdir(join(downloads(), "k8s")).catch(() => []);
  for (const version of versions.filter((folder) => folder.startsWith(minor)).sort()) {
    const file = join(downloads(), "k8s", version, name);
    if (await isExecutable(file)) return file;
  }
  return undefined;
}
