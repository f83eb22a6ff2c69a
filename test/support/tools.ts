// The real programs that tests drive. Go tools are pinned here and built once into a cache outside the repository; clients that only
// exist as packages come from the machine, and are installed with Debian's apt where we may. Nothing is skipped: what cannot be had fails
// the run with what to do.

import { isExecutable, onPath } from "./executables.ts";
import { build, cached, variableOf } from "./go-programs.ts";
import { isKubernetesProgram, kubernetesProgram, kubernetesPrograms, nodePrograms } from "./kubernetes-programs.ts";
import { installPackages } from "./packages.ts";

const goTools = {
  crane: { package: "github.com/google/go-containerregistry/cmd/crane", version: "v0.22.1" },
  /** CNCF distribution: the upstream that tests proxy, and the peer we measure against. */
  registry: { package: "github.com/distribution/distribution/v3/cmd/registry", version: "v3.1.2" },
  /** An S3 service over a folder. */
  versitygw: { package: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" },
  /** Another S3 service, which shares no code with the first. */
  rclone: { package: "github.com/rclone/rclone", version: "v1.76.0" },
  cosign: { package: "github.com/sigstore/cosign/v3/cmd/cosign", version: "v3.1.3" },
  /** Reads deploy/kind; clusters are made by whoever has Docker. */
  kind: { package: "sigs.k8s.io/kind", version: "v0.33.0" },
  helm: { package: "helm.sh/helm/v3/cmd/helm", version: "v3.22.0" },
  /** Downloads what an API server needs, where there is an internet. */
  "setup-envtest": { package: "sigs.k8s.io/controller-runtime/tools/setup-envtest", version: "v0.25.1" },
} as const;

/** Program and the Debian package that has it. */
const packagedTools = {
  skopeo: "skopeo",
  buildah: "buildah",
  podman: "podman",
  git: "git",
  pgbouncer: "pgbouncer",
  sshd: "openssh-server",
  /** The language of Argo CD's health checks, of the same version. */
  "lua5.1": "lua5.1",
} as const;
const packages = Object.values(packagedTools);

export type Tool = keyof typeof goTools | (typeof kubernetesPrograms)[number] | (typeof nodePrograms)[number] | keyof typeof packagedTools;

const pending = new Map<Tool, Promise<string>>();

/** Absolute path of a program, built or installed when it is missing. `WHARFINGER_TOOL_<NAME>` names one that exists. */
export function tool(name: Tool): Promise<string> {
  let found = pending.get(name);
  if (found === undefined) {
    found = find(name);
    pending.set(name, found);
  }
  return found;
}

/** What only tests on an API server need. */
export const ensureKubernetes = () => ensure(kubernetesPrograms);

/** What tests of an installation need, in whatever cluster. */
const forInstallations: readonly Tool[] = ["kubectl", "crane", "registry", "helm", "versitygw", "cosign", "git"];
export const ensureInstallationTools = () => ensure(forInstallations);

/** What only tests on a node need (./node/requirements.ts has the rest). */
export const ensureNodeTools = () => ensure([...kubernetesPrograms, ...nodePrograms, ...forInstallations]);

/** rclone: only `npm run test:s3` drives it, which has its own setup, and it takes about three minutes to build. setup-envtest: what uses it asks. */
const builtLater: readonly string[] = ["rclone", "setup-envtest"] satisfies Tool[];

/** What all other tests need. */
export const ensureTools = () =>
  ensure(([...Object.keys(packagedTools), ...Object.keys(goTools)] as Tool[]).filter((name) => !builtLater.includes(name)));

/** Builds and installs whatever is missing, one after the other: each build uses all processors. */
async function ensure(names: readonly Tool[]): Promise<void> {
  for (const name of names) await tool(name);
}

async function find(name: Tool): Promise<string> {
  const given = process.env[variableOf(name)];
  if (given !== undefined) {
    if (await isExecutable(given)) return given;
    throw new Error(`${variableOf(name)} names ${given}, which cannot be executed.`);
  }
  if (isKubernetesProgram(name)) return kubernetesProgram(name, () => tool("setup-envtest"));
  if (!(name in goTools)) return packaged(name);
  const wanted = { name, ...goTools[name as keyof typeof goTools] };
  return (await cached(wanted)) ?? build(wanted);
}

let installing: Promise<void> | undefined;

async function packaged(name: string): Promise<string> {
  const present = await onPath(name);
  if (present !== undefined) return present;
  installing ??= installPackages(packages);
  await installing;
  const installed = await onPath(name);
  if (installed !== undefined) return installed;
  throw new Error(
    `The tests need ${name}. Install it (Debian, Ubuntu: apt-get install ${packages.join(" ")}; Fedora: dnf install …; macOS: brew install …) and run them again.`,
  );
}
