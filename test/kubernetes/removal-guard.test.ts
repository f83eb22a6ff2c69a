// The guard of removals with kubectl in the hands of tenants: what goes slice by slice waits as the whole would, in its namespace alone, for an administrator.

import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";

import type { RecordReport } from "../../src/operator/kube/record-report.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { OperatorWorld } from "../support/operator-world.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let world: OperatorWorld;
let leaving: string;
let staying: string;
let operator: Parameters<OperatorWorld["startOperator"]>[0];

const policy = (name: string) => `
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${name}}
spec: {subjects: [{kind: Anonymous}], repositories: {include: ["team/**"]}, actions: [pull]}
`;
const names = (count: number) => Array.from({ length: count }, (_, index) => `p${index}`);
const apply = (namespace: string, ...policies: readonly string[]) =>
  world.kubectl(["-n", namespace, "apply", "-f", "-"], policies.map(policy).join("---"));
const remove = (namespace: string, ...policies: readonly string[]) =>
  world.kubectl(["-n", namespace, "delete", "accesspolicy", ...policies]);
const filesOf = (namespace: string) =>
  world
    .git("ls-tree", "--name-only", "HEAD", `accesspolicies/${namespace}/`)
    .split("\n")
    .map((path) => /([^/]+)\.yaml$/.exec(path)?.[1] ?? "")
    .filter((name) => name !== "");
const haveFiles = (namespace: string, policies: readonly string[]) => eventually(() => expect(filesOf(namespace)).toEqual(policies));
/** Git's dates are seconds: what goes in the second in which it came has never stood, and is no loss. */
const secondIsOver = () =>
  eventually(() => expect(Math.floor(Date.now() / 1000)).toBeGreaterThan(Number(world.git("log", "-1", "--format=%ct"))));
const waiting = async () => {
  const told = await world.kubectl(["get", "configmap/wharfinger", "-o", "jsonpath={.data.record}"]);
  return (JSON.parse(told) as RecordReport).status.waiting;
};

beforeAll(async () => {
  const api = await sharedApiServer();
  [leaving, staying] = [await createNamespace(api), await createNamespace(api)];
  const tenants = [leaving, staying].map((namespace) => ({ namespace, kinds: ["AccessPolicy"], repositories: ["team/**"] }));
  world = await OperatorWorld.open({ registry: { tenants } });
  const account = `--serviceaccount=${world.namespace}:default`;
  for (const namespace of [leaving, staying]) {
    await world.kubectl(["-n", namespace, "apply", "-f", "deploy/watched-namespace/role.yaml"]);
    await world.kubectl(["-n", namespace, "create", "rolebinding", "wharfinger-operator", "--role=wharfinger-operator", account]);
  }
  operator = { namespaces: [world.namespace, leaving, staying], settings: { tenants } };
  await apply(leaving, ...names(9));
  await apply(staying, ...names(5));
  await world.startOperator(operator);
  await haveFiles(leaving, names(9));
  await haveFiles(staying, names(5));
  await secondIsOver();
});
afterAll(() => world?.close());

test("one after the other goes until a third is gone; the next ones wait, and nobody else's do", async () => {
  for (const [index, name] of names(3).entries()) {
    await remove(leaving, name);
    await haveFiles(leaving, names(9).slice(index + 1));
  }
  await remove(leaving, "p3");
  const told = `namespace ${leaving}: 1 resource is gone (AccessPolicy/${leaving}/p3)`;
  await eventually(async () => expect(await waiting()).toEqual([expect.stringContaining(told)]));
  expect((await waiting())[0]).toContain("within an hour 4 of 9 resources of this namespace would be removed");
  await remove(staying, "p0");
  await apply(staying, "new");
  await haveFiles(staying, ["new", ...names(5).slice(1)]);
  expect(filesOf(leaving)).toContain("p3");
  expect(await waiting()).toHaveLength(1);
});

test("the next operator counts what went before it", async () => {
  await world.operator?.stop();
  await remove(leaving, "p4", "p5");
  await world.startOperator(operator);
  await eventually(async () => expect((await waiting()).join()).toContain(`namespace ${leaving}: 3 resources are gone `));
  expect(filesOf(leaving)).toEqual(names(9).slice(3));
});

test("those whose resources they were are told, and cannot confirm for themselves", async () => {
  await eventually(async () =>
    expect(await world.kubectl(["-n", leaving, "events"])).toMatch(
      /Warning\s+WaitsForConfirmation.*until an administrator of the registry/,
    ),
  );
  const [, annotation = ""] = /annotate --overwrite configmap\/wharfinger (\S+)$/.exec((await waiting())[0] ?? "") ?? [];
  expect(annotation).toMatch(new RegExp(`^wharfinger.dev/confirm-removal=[0-9a-f]{40}/${leaving}$`));
  await world.kubectl(["-n", leaving, "create", "configmap", "wharfinger"]);
  await world.kubectl(["-n", leaving, "annotate", "configmap/wharfinger", annotation]);
  await apply(staying, "newer");
  await haveFiles(staying, ["new", "newer", ...names(5).slice(1)]);
  expect(filesOf(leaving)).toEqual(names(9).slice(3));
});

test("an administrator lets the namespace go by the command that the ConfigMap and an event name, and the hour begins anew", async () => {
  // One that runs may hear of the first before the others are gone, and may remove it.
  await world.whileAway(() => remove(staying, "--all"));
  await eventually(async () => expect(await waiting()).toHaveLength(3));
  const [, command] = await answerTo("the command", async () =>
    (await waiting()).map((sentence) => new RegExp(`: (kubectl .*/${leaving})$`).exec(sentence)).find((found) => found !== null),
  );
  await eventually(async () => expect(await world.kubectl(["events", "--for", "configmap/wharfinger"])).toContain(command));
  await world.kubectl((command ?? "").split(" ").slice(3));
  await haveFiles(leaving, ["p6", "p7", "p8"]);
  await eventually(async () =>
    expect(await world.kubectl(["get", "configmap/wharfinger", "-o", "jsonpath={.metadata.annotations}"])).toBe(""),
  );
  await eventually(async () => expect(await waiting()).toEqual([expect.stringMatching(new RegExp(`^namespace ${staying}: `))]));
  await remove(leaving, "p6", "p7");
  await haveFiles(leaving, ["p8"]);
  expect(filesOf(staying)).toHaveLength(6);
});

test("who leads next, and hears slowly of a namespace, tells nothing of it before that", async () => {
  await apply(staying, "kept");
  await world.kubectl(["-n", staying, "wait", "--for=condition=Ready", "accesspolicy/kept", "--timeout=120s"]);
  await using api = await slowApi(`/api/v1/namespaces/${staying}`);
  const leader = world.operator;
  const next = await world.startOperator({ ...operator, kubeconfig: api.kubeconfig });
  await eventually(() => expect(next.logs()).toContain("this process waits for its turn"));
  await eventually(async () => expect((await fetch(`${next.url}/readyz`)).status).toBe(200));
  api.slow = true;
  await leader?.stop();
  const written = () => world.kubectl(["-n", staying, "get", "accesspolicy/kept", "-o", "jsonpath={.metadata.resourceVersion}"]);
  const version = await written();
  await apply(staying, "newest");
  await world.kubectl(["-n", staying, "wait", "--for=condition=Ready", "accesspolicy/newest", "--timeout=120s"]);
  expect(await written()).toBe(version);
  await next.stop();
});

/** The API server, by way of somebody who passes on requests for `path` after three seconds when he is told to be slow. */
async function slowApi(path: string) {
  const { url, certificateAuthority: ca } = world.api;
  const state = { slow: false };
  const server = createServer((incoming, outgoing) => {
    const pass = () => {
      const { method, headers } = incoming;
      const onward = request(new URL(incoming.url ?? "", url), { method, headers, ca }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on("error", () => outgoing.destroy());
      outgoing.once("close", () => onward.destroy());
      incoming.pipe(onward);
    };
    setTimeout(pass, state.slow && incoming.url === path ? 3_000 : 0);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const config = parse(await readFile(world.kubeconfig, "utf8")) as { clusters: { cluster: object }[] };
  const [cluster] = config.clusters;
  if (cluster !== undefined)
    cluster.cluster = { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, "insecure-skip-tls-verify": true };
  const kubeconfig = join(world.folder, "slow.kubeconfig");
  await writeFile(kubeconfig, stringify(config));
  return Object.assign(state, {
    kubeconfig,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
