// deploy/kind on a real node without Docker: its values, its certs.d in a containerd with its setting, and every command of its page that is not kind's own.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { parse as parseToml } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";

import { eventually } from "../support/eventually.ts";
import type { NodeAccess } from "../support/node/node.ts";
import { startReader, type Reader } from "../support/node/reader.ts";
import { sharedNode, sharedProduct } from "../support/node/shared-node.ts";
import { commandsOf, runCommands, type CommandBlock } from "../support/page-commands.ts";

const folder = resolve(import.meta.dirname, "../../deploy/kind");
const blocks = await commandsOf(join(folder, "README.md"));
const certs = "/etc/containerd/certs.d/cgr.dev";
/** As the folder has it; a node of the tests has Services of another range. */
const written = "10.96.0.50";

let node: NodeAccess;
let reader: Reader;

beforeAll(async () => {
  node = await sharedNode();
  const clusterIP = node.addresses.services.replace(/\.0\/24$/, ".50");
  const { repository, digest } = sharedProduct();
  const image = { repository, tag: digest.replace(":", "-"), pullPolicy: "IfNotPresent" };
  reader = await startReader(node, { values: { image, service: { clusterIP } } });
  const hosts = (await readFile(join(folder, "certs.d/cgr.dev/hosts.toml"), "utf8")).replaceAll(written, clusterIP);
  await node.run(["sh", "-c", `mkdir -p ${certs} && printf %s '${hosts}' >${certs}/hosts.toml`]);
});
afterAll(async () => {
  await node.run(["rm", "-r", certs]);
  await node.api.kubectl(["delete", "pods", "by-mirror", "by-port", "--ignore-not-found"]);
  await node.api.kubectl(["delete", "namespace", "wharfinger", "--ignore-not-found", "--timeout=120s"]);
  const kinds = ["upstreams", "tagpolicies", "retentionpolicies", "accesspolicies"].map((kind) => `${kind}.wharfinger.dev`);
  await node.api.kubectl(["delete", "customresourcedefinitions", "--ignore-not-found", ...kinds]);
  await reader?.stop();
});

test("this containerd has what cluster.yaml would have kind's have", async () => {
  const { containerdConfigPatches } = parse(await readFile(join(folder, "cluster.yaml"), "utf8")) as { containerdConfigPatches: string[] };
  const configuration = parseToml(await node.run(["cat", "/etc/containerd/config.toml"]));
  expect(containerdConfigPatches).toHaveLength(1);
  for (const patch of containerdConfigPatches) expect(configuration).toMatchObject(parseToml(patch));
});

test("kind's own commands are marked", () => {
  expect(blocks.filter(({ text }) => /^kind /m.test(text)).map(({ mark }) => mark)).toEqual(["kind", "kind"]);
  expect([...new Set(blocks.map(({ mark }) => mark))].sort()).toEqual(["", "kind", "yours"]);
});

const ours = blocks.filter(({ mark }) => mark === "");
const isTheEnd = ({ text }: CommandBlock) => text.includes("helm uninstall");

async function runs(block: CommandBlock): Promise<void> {
  const { code, stdout, stderr } = await runCommands(block, reader);
  const pods = code === 0 ? "" : (await node.api.kubectl(["describe", "pods", "--all-namespaces"])).stdout;
  expect({ code, said: code === 0 ? "" : `${stdout}${stderr}${pods}` }).toEqual({ code: 0, said: "" });
}

test.each(ours.filter((block) => !isTheEnd(block)))("$named", runs);

test("who comes by the node's port is seen by the registry with an address of his own, which is not the node's", async () => {
  const { status } = await fetch(`http://${node.addresses.node}:30500/v2/team-a/app/blobs/uploads/`, { method: "POST" });
  expect(status).toBe(401);
  await eventually(async () => {
    const { stdout } = await node.api.kubectl(["-n", "wharfinger", "logs", "deployment/wharfinger-registry"]);
    const refused = stdout.split("\n").filter((line) => line.includes('"Refused"') && line.includes("team-a/app"));
    expect(refused.map((line) => (JSON.parse(line) as { readonly source: string }).source)).toEqual([node.addresses.machine]);
  });
});

test.each(ours.filter(isTheEnd))("$named", runs);
