// What keeps a node apart from the machine that it runs on: namespaces of its own for network and mounts, and a control group. Its programs find
// /etc, /var and /run as they are on a node, write there, and the machine's stay as they were. All of it ends with its processes.

import { mkdir, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { answerTo } from "../eventually.ts";
import { onPath } from "../executables.ts";
import { launchServer, type LaunchedServer } from "../launched-server.ts";
import { program } from "../programs.ts";
import { addressesOf, nodes, type Addresses } from "./addresses.ts";
import { employCaretaker } from "./caretaker.ts";
import { createControlGroup } from "./cgroups.ts";

export interface Enclosure {
  /** Its files, until `remove`. */
  readonly folder: string;
  /** The process that holds its namespaces. */
  readonly holder: number;
  /** Of its control group, and of the machine's end of its cable: `wharfinger<number>`. */
  readonly name: string;
  readonly addresses: Addresses;
  /** A program of the node, by absolute path, whose log is `<name>.log` in the folder. */
  launch(name: string, file: string, args: readonly string[]): LaunchedServer;
  /** A command in it, to its end. Resolves with its stdout; rejects unless it ends with 0. */
  run(command: readonly string[]): Promise<string>;
  /** Ends everything in it at once, and its files. */
  remove(): Promise<void>;
}

/** `folder` lies on a disk: the layers of containers cannot be mounted on what is itself made of layers. */
export async function createEnclosure(folder: string): Promise<Enclosure> {
  const caretaker = employCaretaker(folder);
  try {
    return await create(folder, () => caretaker.finish());
  } catch (error) {
    await caretaker.finish();
    throw error;
  }
}

async function create(folder: string, remove: () => Promise<void>): Promise<Enclosure> {
  const number = await freeNumber();
  const name = `wharfinger${number}`;
  await writeFile(join(folder, "name"), name);
  const processes = await createControlGroup(name);
  const launchIn = (log: string, command: readonly string[]) =>
    launchServer("/bin/sh", ["-c", 'echo $$ >"$0" && exec "$@"', processes, ...command], { log: join(folder, `${log}.log`) });
  // Holds the namespaces while other programs come and go.
  const holder = launchIn("holder", ["unshare", "--net", "--mount", "--propagation=unchanged", "sleep", "infinity"]);
  await answerTo("the node's namespaces are there", async () => ((await isApart(holder.pid)) ? true : undefined), {
    context: holder.lastWords,
  });
  const run: Enclosure["run"] = (command) => runInside(holder.pid, command);
  const addresses = addressesOf(number);
  await connect(name, holder.pid, { addresses, run });
  await makePlaces(folder, run);
  return {
    folder,
    holder: holder.pid,
    name,
    addresses,
    launch: (log, file, args) => launchIn(log, [...entering(holder.pid), file, ...args]),
    run,
    remove,
  };
}

/** Not `ip netns exec`: it mounts /sys once more, in which there are no control groups. */
const entering = (holder: number) => ["nsenter", `--target=${holder}`, "--net", "--mount", "--"];

/** `Enclosure.run`, from any process. */
export async function runInside(holder: number, command: readonly string[]): Promise<string> {
  const [file = "", ...args] = [...entering(holder), ...command];
  const { code, stdout, stderr } = await program(file, args);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code} on the node: ${stderr}`);
  return stdout;
}

async function isApart(pid: number): Promise<boolean> {
  return (await readlink(`/proc/${pid}/ns/net`)) !== (await readlink("/proc/self/ns/net"));
}

/** The cable of a node bears its number: while it lies, the number is taken. */
async function freeNumber(): Promise<number> {
  for (let number = 0; number < nodes; number++) {
    const { code } = await ip(["link", "add", `wharfinger${number}`, "type", "veth", "peer", "name", `wharfinger${number}n`]);
    if (code === 0) return number;
  }
  throw new Error(`No cable can be laid to a node: ${(await ip(["link", "add", "wharfinger0", "type", "dummy"])).stderr}`);
}

async function ip(args: readonly string[]) {
  return program((await onPath("ip")) ?? "ip", args);
}

interface Network {
  readonly addresses: Addresses;
  readonly run: Enclosure["run"];
}

async function connect(name: string, pid: number, { addresses, run }: Network): Promise<void> {
  const { machine, node, pods, services } = addresses;
  const onMachine = async (...args: readonly string[]) => {
    const { code, stderr } = await ip(args);
    if (code !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
  };
  // With its namespace goes this end, and with this end the other, its address and its routes.
  await onMachine("link", "set", `${name}n`, "netns", String(pid));
  await onMachine("address", "add", `${machine}/30`, "dev", name);
  await onMachine("link", "set", name, "up");
  await run(["ip", "link", "set", "lo", "up"]);
  await run(["ip", "link", "set", `${name}n`, "name", "eth0"]);
  await run(["ip", "address", "add", `${node}/30`, "dev", "eth0"]);
  await run(["ip", "link", "set", "eth0", "up"]);
  await run(["ip", "route", "add", "default", "via", machine]);
  await run(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
  // Tests, and the API server, reach pods and Services as the node does.
  await onMachine("route", "add", pods, "via", node);
  await onMachine("route", "add", services, "via", node);
}

/** Folders of the enclosure → where the node has them. */
const places = {
  containerd: "/var/lib/containerd",
  kubelet: "/var/lib/kubelet",
  "etc-containerd": "/etc/containerd",
  networks: "/etc/cni/net.d",
  // Over all that the machine has there: a socket in what is made of layers cannot be reached from outside of it.
  run: "/run",
} as const;

/** What lies below /etc and /var is the machine's until the node writes it; containers and volumes need a real disk below them. */
async function makePlaces(folder: string, run: Enclosure["run"]): Promise<void> {
  const steps = ["mount --make-rslave /", "mount --make-rshared /"];
  for (const name of ["etc", "var"]) {
    const [upper, work] = [join(folder, name), join(folder, `${name}.work`)];
    await Promise.all([mkdir(upper), mkdir(work)]);
    steps.push(`mount -t overlay overlay -o lowerdir=/${name},upperdir=${upper},workdir=${work} /${name}`);
  }
  for (const [name, place] of Object.entries(places)) {
    await mkdir(join(folder, name));
    steps.push(`mkdir -p ${place}`, `mount --bind ${join(folder, name)} ${place}`);
  }
  await run(["sh", "-c", steps.join(" && ")]);
}
