// What a machine must have before a node can run on it. Packages are installed where we may; what remains is said in one message.

import { access, constants, readFile } from "node:fs/promises";
import { join } from "node:path";

import { isExecutable, onPath } from "../executables.ts";
import { installPackages } from "../packages.ts";
import { unified } from "./cgroups.ts";

/** Program and the Debian package that has it. */
const programs = {
  containerd: "containerd",
  ctr: "containerd",
  runc: "runc",
  nft: "nftables",
  iptables: "iptables",
  conntrack: "conntrack",
  ip: "iproute2",
  nsenter: "util-linux",
  unshare: "util-linux",
  openssl: "openssl",
} as const;

/** Debian's place for the programs that give pods their network, and the one of everybody else. */
const pluginFolders = ["/usr/lib/cni", "/opt/cni/bin"];
const plugins = ["bridge", "host-local", "portmap", "loopback"];
/** Linked against nothing, so that an image needs no other file. */
const busyboxPlaces = ["/bin/busybox", "/usr/bin/busybox"];

export interface NodePrograms {
  /** Absolute paths. */
  readonly containerd: string;
  readonly ctr: string;
  readonly runc: string;
  readonly busybox: string;
  /** The folder of the network plugins. */
  readonly plugins: string;
}

/** Rejects with everything that is missing, and how to get it. */
export async function requireNode(): Promise<NodePrograms> {
  const obstacles = await obstaclesOfMachine();
  if (obstacles.length > 0) throw new Error(`A node cannot run here:\n${obstacles.map((line) => `  - ${line}`).join("\n")}`);
  let missing = await missingPackages();
  if (missing.length > 0) {
    await installPackages(missing);
    missing = await missingPackages();
  }
  if (missing.length > 0)
    throw new Error(
      `A node needs what is not installed. Debian, Ubuntu: apt-get install -y --no-install-recommends ${missing.join(" ")}; elsewhere the same by the names of its packages.`,
    );
  const path = async (name: keyof typeof programs) => (await onPath(name)) ?? name;
  return {
    containerd: await path("containerd"),
    ctr: await path("ctr"),
    runc: await path("runc"),
    busybox: (await firstExecutable(busyboxPlaces)) ?? "",
    plugins: (await pluginFolder()) ?? "",
  };
}

async function obstaclesOfMachine(): Promise<string[]> {
  const found: string[] = [];
  if (process.platform !== "linux") return [`It needs Linux (this is ${process.platform}): run it in a virtual machine.`];
  if (process.getuid?.() !== 0) found.push("It needs root, for namespaces and mounts: run `npm run test:e2e` with sudo.");
  if (unified() === undefined) found.push("It needs control groups of version 2, at least at /sys/fs/cgroup/unified beside version 1.");
  else if (process.getuid?.() === 0 && !(await isWritable("/sys/fs/cgroup")))
    found.push("/sys/fs/cgroup is read-only: run it on a machine, or in a privileged container.");
  if (!/^nodev\toverlay$/m.test(await readFile("/proc/filesystems", "utf8")))
    found.push("The kernel has no overlay file system: modprobe overlay.");
  return found;
}

const isWritable = (folder: string) =>
  access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );

async function missingPackages(): Promise<string[]> {
  const missing = new Set<string>();
  for (const [name, debian] of Object.entries(programs)) if ((await onPath(name)) === undefined) missing.add(debian);
  if ((await pluginFolder()) === undefined) missing.add("containernetworking-plugins");
  if ((await firstExecutable(busyboxPlaces)) === undefined) missing.add("busybox-static");
  return [...missing];
}

async function pluginFolder(): Promise<string | undefined> {
  for (const folder of pluginFolders) {
    const there = await Promise.all(plugins.map((name) => isExecutable(join(folder, name))));
    if (there.every(Boolean)) return folder;
  }
  return undefined;
}

async function firstExecutable(files: readonly string[]): Promise<string | undefined> {
  for (const file of files) if (await isExecutable(file)) return file;
  return undefined;
}
