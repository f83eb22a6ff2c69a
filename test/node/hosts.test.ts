// Mirrors as a real containerd takes them: by the files that `wharfinger nodes` keeps on the node, the chart's DaemonSet's program.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createServer, type Server } from "node:tls";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { createAuthority, forServers, issue, type KeyPair } from "../support/certificates.ts";
import { freePort, startDistribution, type Distribution } from "../support/distribution.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { busyboxImage, pushRunnable } from "../support/node/images.ts";
import { startNode, type TestNode } from "../support/node/node.ts";
import { requireNode } from "../support/node/requirements.ts";
import { startStandalone, wharfinger, type Standalone } from "../support/standalone.ts";

const program = resolve(import.meta.dirname, "../../src/cli/main.ts");
const certs = "/etc/containerd/certs.d";

let folder: string;
let node: TestNode;
let namespace: string;
let upstream: Distribution;
let registry: Standalone;
/** Of the upstream, as the world knows it: a name with TLS. */
let host: string;
let front: Server;
/** The registry as nodes reach it: TLS by an authority that nobody on the node knows. */
let mirror: Server;
let mirrorAddress: string;
/** Connections to the upstream by its name: what goes past the registry. */
let past = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-mirror-"));
  node = await startNode();
  const { machine } = node.addresses;
  namespace = await createNamespace(node.api);
  upstream = await startDistribution({ address: machine });
  const { busybox } = await requireNode();
  for (const tag of ["1", "2"])
    await pushRunnable({ ...(await busyboxImage(`${upstream.host}/team/app:${tag}`, busybox)), command: ["sh", tag] });
  await openToTheWorld();
  registry = await serve(await freePort());
});
afterAll(async () => {
  await registry?.stop();
  front?.close();
  mirror?.close();
  await upstream?.stop();
  await node?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** https://images.example.com:<port>, by an authority that the node trusts. */
async function openToTheWorld(): Promise<void> {
  const { machine } = node.addresses;
  const name = "images.example.com";
  const world = join(folder, "world");
  await mkdir(world);
  await createAuthority(world, "the world's");
  front = await secured(upstream.url, await issue(world, { name, extensions: forServers(`DNS:${name}`) }), () => void (past += 1));
  host = `${name}:${portOf(front)}`;
  await node.announce(name, machine);
  await node.run(["sh", "-c", `cat ${join(world, "ca.crt")} >>/etc/ssl/certs/ca-certificates.crt`]);
}

/** TLS before what speaks plain HTTP. */
async function secured(url: string, pair: KeyPair, onConnection = () => {}): Promise<Server> {
  const { hostname, port } = new URL(url);
  const server = createServer(pair, (socket) => {
    onConnection();
    const behind = connect(Number(port), hostname);
    for (const end of [socket, behind]) end.on("error", () => void (socket.destroy(), behind.destroy()));
    socket.pipe(behind).pipe(socket);
  });
  server.listen(0, node.addresses.machine);
  await once(server, "listening");
  return server;
}

const portOf = (server: Server) => (server.address() as { port: number }).port;
const password = () => join(folder, "password");

/** Nobody may pull but the robot `nodes`. */
async function serve(port: number): Promise<Standalone> {
  const { machine } = node.addresses;
  const config = join(folder, "config");
  await mkdir(config);
  const settings = join(folder, "settings.yaml");
  await writeFile(settings, "access: {anonymousPull: None}\n");
  const resource = (kind: string, name: string, spec: object) =>
    writeFile(join(config, `${name}.yaml`), stringify({ apiVersion: "wharfinger.dev/v1alpha1", kind, metadata: { name }, spec }));
  await resource("Upstream", "images", { url: upstream.url, insecure: true, prefix: "images", hosts: [host] });
  const rights = { repositories: { include: ["images/**"] }, actions: ["pull"] };
  await resource("AccessPolicy", "nodes", { subjects: [{ kind: "User", name: "nodes" }], ...rights });
  const made = await wharfinger(["robot", "create", "nodes", "--file", join(config, "robots.yaml"), "--password-file", password()]);
  expect([made.code, made.stderr]).toEqual([0, expect.stringContaining("Robot nodes is in")]);
  const serving = await startStandalone({ config, settings, args: ["--listen", `${machine}:${port}`] });
  const inside = join(folder, "inside");
  await mkdir(inside);
  await createAuthority(inside, "the cluster's");
  mirror = await secured(serving.url, await issue(inside, { name: "registry", extensions: forServers(`IP:${machine}`) }));
  mirrorAddress = `https://${machine}:${portOf(mirror)}`;
  const ask = async (headers: Record<string, string>) =>
    (await fetch(`${serving.url}/v2/team/app/manifests/1?ns=${host}`, { method: "HEAD", headers })).status;
  const login = Buffer.from(`nodes:${await readFile(password(), "utf8")}`).toString("base64");
  await answerTo("it answers the robot", async () => ((await ask({ authorization: `Basic ${login}` })) === 200 ? true : undefined), {
    context: () => serving.logs(),
  });
  expect(await ask({})).toBe(401);
  return serving;
}

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.api.kubectl(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout.trim();
}

/** Resolves when a Pod with this image has done its work. */
async function pull(name: string, image: string): Promise<void> {
  await kubectl("-n", namespace, "run", name, `--image=${image}`, "--restart=Never", "--command", "--", "true");
  try {
    await kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", `pod/${name}`, "--timeout=120s");
  } catch (error) {
    throw new Error(await kubectl("-n", namespace, "describe", "pod", name), { cause: error });
  }
}

/** Starts `wharfinger nodes` on the node. Resolves with its process id when it keeps the files. */
async function startNodes(pod: string): Promise<string> {
  const at = (kind: string) => join(folder, `${pod}.${kind}`);
  const words = [
    process.execPath,
    program,
    "nodes",
    `--address=${mirrorAddress}`,
    `--ca=${join(folder, "inside/ca.crt")}`,
    `--password-file=${password()}`,
    `--host=${host}`,
    "--host=docker.io",
    "--installation=nodes/wharfinger",
    `--pod=${pod}`,
    `--problems=${at("problems")}`,
    `--certs-dir=${certs}`,
  ];
  const pid = await node.run(["sh", "-c", `"$@" >${at("out")} 2>${at("log")} </dev/null & echo $!`, "sh", ...words]);
  await eventually(async () => expect(await readFile(at("out"), "utf8")).toContain("Keeping "));
  return pid.trim();
}

/** SIGTERM; resolves when it is gone. */
async function stopNodes(pid: string): Promise<void> {
  await node.run(["kill", pid]);
  await eventually(async () => {
    await expect(node.run(["sh", "-c", `test ! -e /proc/${pid} || grep -q Z /proc/${pid}/stat`])).resolves.toBe("");
  });
}

const listed = async () => (await node.run(["sh", "-c", `cd ${certs} && find . -type f | sort`])).trim().split("\n");
const fileOf = (name: string) => `./${name.replace(/:(\d+)$/, "_$1_")}/hosts.toml`;
const foreign = 'server = "https://mirror.example.com"\n';

test("containerd pulls through the registry, by the host's own name, as long as the program runs; another's file stays as it was", async () => {
  await node.run(["sh", "-c", `mkdir -p ${certs}/docker.io && printf '%s' '${foreign}' >${certs}/docker.io/hosts.toml`]);
  const before = await listed();
  const first = await startNodes("first");
  expect(await readFile(join(folder, "first.problems"), "utf8")).toBe(
    `docker.io is left as it is: ${certs}/docker.io/hosts.toml was written by somebody else.`,
  );
  await pull("mirrored", `${host}/team/app:1`);
  expect(past).toBe(0);
  // Replaced: the next one first, as the DaemonSet does it.
  const second = await startNodes("second");
  await stopNodes(first);
  expect(await listed()).toEqual([...before, fileOf(host), fileOf(host).replace("hosts.toml", "wharfinger-ca.crt")].toSorted());

  // The registry is away: what is not there yet comes from the upstream itself.
  await registry.stop();
  await pull("past", `${host}/team/app:2`);
  expect(past).toBeGreaterThan(0);

  await stopNodes(second);
  expect(await listed()).toEqual(before);
  expect(await node.run(["cat", `${certs}/docker.io/hosts.toml`])).toBe(foreign);
});
