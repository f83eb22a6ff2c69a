// Pulls of a node's container runtime, of which none is tried twice, go on while what serves them is killed, replaced, upgraded and rolled back; and a
// node that lost everything comes back.

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { pushShell } from "../support/node/images.ts";
import type { NodeAccess } from "../support/node/node.ts";
import { runPod } from "../support/node/pods.ts";
import { prepareProduction, publicUpstream, type Production } from "../support/node/production.ts";
import { startPulling } from "../support/node/pulling.ts";
import { killContainer, wipeImages } from "../support/node/runtime.ts";
import { clusterOf } from "../support/node/cluster.ts";
import { sharedNode, sharedProduct } from "../support/node/shared-node.ts";

let node: NodeAccess;
let release: Production;
let host: string;
/** Of the Upstream, whose name the node leads to the registry. */
const mirrored = "images.example.com";
const words = ["cat", "/etc/words"];

beforeAll(async () => {
  node = await sharedNode();
  release = await prepareProduction(clusterOf(node, sharedProduct()), "pulls");
  await release.install(release.values);
  await release.entrance.publish();
  const { surroundings, entrance } = release;
  host = entrance.host;
  const { upstream } = surroundings;
  // One file for both: the authorities stand one after the other.
  const both = `${entrance.authority}${surroundings.authority}`;
  await node.setRegistryHost(mirrored, { server: upstream.url, mirror: `https://${await release.address()}`, authority: both });
  for (const name of ["shell", "later"]) await pushShell(`${upstream.host}/tools/${name}:latest`, name);
  for (const name of ["by-name", "by-mirror"])
    await pushImage({ reference: `${upstream.host}/tools/${name}:latest`, content: name, noise: 4_000_000 });
  await release.apply(publicUpstream(release));
  await release.hasCondition("Ready", "upstream/tools");
  await release.hasCondition("CredentialsLoaded", "upstream/tools");
  await runPod(release, { image: `${host}/up/tools/shell:latest`, command: words });
});
afterAll(() => release?.remove());

async function rolledOut(...names: readonly string[]): Promise<void> {
  for (const name of names) await release.kubectl("rollout", "status", `deployment/wharfinger-${name}`, "--timeout=240s");
}

const containerOf = (pod: string) => release.kubectl("get", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}");

async function podOfRegistry(): Promise<string> {
  const pods = await release.kubectl("get", "pods", "-l", "app.kubernetes.io/component=registry", "-o", "name");
  return pods.split("\n")[0] ?? "";
}

/** Resolves with what pulls that failed meanwhile said. */
async function failuresDuring(
  work: () => Promise<void>,
): Promise<{ readonly byName: readonly string[]; readonly byMirror: readonly string[] }> {
  const byName = startPulling(node, `${host}/up/tools/by-name:latest`);
  const byMirror = startPulling(node, `${mirrored}/tools/by-mirror:latest`);
  const some = () => Promise.all([byName.some(), byMirror.some()]);
  try {
    await some();
    await work();
    await some();
  } finally {
    await Promise.all([byName.stop(), byMirror.stop()]);
  }
  return { byName: byName.failures, byMirror: byMirror.failures };
}

const none = { byName: [], byMirror: [] };

test("the process of the operator that leads is killed", async () => {
  const holder = () => release.kubectl("get", "lease/wharfinger", "-o", "jsonpath={.spec.holderIdentity}");
  const failures = await failuresDuring(async () => {
    const before = await holder();
    await killContainer(node, await containerOf(`pod/${before.slice(0, before.lastIndexOf("_"))}`));
    await eventually(async () => expect(await holder()).not.toBe(before), 120);
    await rolledOut("operator");
  });
  expect(failures).toEqual(none);
});

test("a Pod of the registry goes, as a node's drain or a rollout has it", async () => {
  const failures = await failuresDuring(async () => {
    await release.kubectl("delete", await podOfRegistry());
    await rolledOut("registry");
  });
  expect(failures).toEqual(none);
});

test("a process of the registry is killed without a word: a mirror's pulls go on by the upstream, others find nobody until its address is out", async () => {
  const failures = await failuresDuring(async () => {
    const pod = await podOfRegistry();
    const before = await containerOf(pod);
    await killContainer(node, before);
    await eventually(async () => expect(await containerOf(pod)).not.toBe(before), 120);
    await rolledOut("registry");
  });
  expect(failures.byMirror).toEqual([]);
  expect(failures.byName.filter((words) => !/connection refused|connection reset|EOF/.test(words))).toEqual([]);
});

test("the chart is upgraded and rolled back, and all Pods are rolled", async () => {
  const failures = await failuresDuring(async () => {
    // Other settings are another ConfigMap, and Helm takes that of the Pods that still run away.
    await release.install({ ...release.values, settings: { ...(release.values["settings"] as object), jobs: { keepFor: "12h" } } });
    await release.helm("rollback", "wharfinger", "--wait", "--timeout", "300s");
    await release.kubectl("rollout", "restart", "deployment", "-l", "app.kubernetes.io/instance=wharfinger");
    await rolledOut("registry", "operator", "reporter");
  });
  expect(failures).toEqual(none);
});

test("without a registry a mirrored pull comes from its upstream", async () => {
  await release.kubectl("scale", "deployment/wharfinger-registry", "--replicas=0");
  await release.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=registry", "--timeout=120s");
  expect(await runPod(release, { image: `${mirrored}/tools/later:latest`, command: words })).toBe("later");
  await release.kubectl("scale", "deployment/wharfinger-registry", "--replicas=2");
});

test("all Pods and images of the node are gone: everything comes back by itself", async () => {
  const image = `${host}/up/tools/shell:latest`;
  await release.kubectl("create", "deployment", "of-the-registry", `--image=${image}`, "--", "sleep", "infinity");
  await rolledOut("registry");
  await release.kubectl("rollout", "status", "deployment/of-the-registry", "--timeout=90s");
  // In this order each of the new ones needs its image anew.
  await wipeImages(node);
  const { code, stderr } = await node.api.kubectl(["delete", "pods", "--all", "--all-namespaces", "--grace-period=0", "--force"]);
  expect({ code, said: code === 0 ? "" : stderr }).toEqual({ code: 0, said: "" });
  await rolledOut("registry", "operator", "reporter");
  await release.kubectl("rollout", "status", "deployment/of-the-registry", "--timeout=240s");
  const said = () => release.kubectl("exec", "deployment/of-the-registry", "--", ...words);
  await eventually(async () => expect(await said()).toBe("shell"), 120);
});
