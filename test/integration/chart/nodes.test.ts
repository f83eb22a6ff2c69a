// The DaemonSet that configures nodes: what it may do, what it is told, and which values are refused.

import { expect, test } from "vitest";

import { mirrorOptions, nodesOptions } from "../../../src/config/options/nodes.ts";
import { serveOptions } from "../../../src/config/options/registry.ts";
import { embedded, helmTemplate, named, ofKind, production, render, type PodTemplate, type Values } from "../../support/chart.ts";

const nodes = (more: Values = {}, values: Values = production): Values => ({
  ...values,
  service: { clusterIP: "10.96.0.50" },
  nodes: { enabled: true, namespace: "nodes", hosts: ["docker.io", "old.example.com:5000"], ...more },
});

async function podOf(values: Values): Promise<PodTemplate["spec"]> {
  return named(await render(values), "DaemonSet", "wharfinger-nodes", "nodes").spec.template.spec;
}

test("there is none unless it is asked for", async () => {
  expect(ofKind(await render(production), "DaemonSet")).toEqual([]);
});

test("it runs on every node, mounts one folder, has no token and no capability, and reaches nobody", async () => {
  const spec = await podOf(nodes());
  const [container] = spec.containers;
  expect(spec).toMatchObject({ automountServiceAccountToken: false, tolerations: [{ operator: "Exists" }] });
  expect(["hostNetwork", "hostPID", "hostIPC", "serviceAccountName"].filter((key) => key in spec)).toEqual([]);
  expect(spec.volumes.filter((volume) => "hostPath" in volume)).toEqual([
    { name: "certs", hostPath: { path: "/etc/containerd/certs.d", type: "DirectoryOrCreate" } },
  ]);
  expect(container?.volumeMounts).toContainEqual({ name: "certs", mountPath: "/etc/containerd/certs.d" });
  expect(container?.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  const policy = named(await render(nodes()), "NetworkPolicy", "wharfinger-nodes", "nodes");
  expect(policy.spec).toEqual({
    podSelector: { matchLabels: expect.objectContaining({ "app.kubernetes.io/component": "nodes" }) as unknown },
    policyTypes: ["Ingress", "Egress"],
  });
});

test("the new Pod comes before the old one goes", async () => {
  const daemonSet = named(await render(nodes()), "DaemonSet", "wharfinger-nodes", "nodes");
  expect(daemonSet.spec["updateStrategy"]).toEqual({ type: "RollingUpdate", rollingUpdate: { maxSurge: "10%", maxUnavailable: 0 } });
});

test("a command in its container, on each node, is run seldom", async () => {
  const [container] = (await podOf(nodes())).containers;
  expect(container).toMatchObject({ startupProbe: { exec: {} }, readinessProbe: { exec: {}, periodSeconds: 30, failureThreshold: 1 } });
  expect(container).not.toHaveProperty("livenessProbe");
});

test("every flag is one of the program's, and nothing secret is among them", async () => {
  const { containers, volumes } = await podOf(
    nodes({ address: "https://10.96.0.50:5000", caSecret: "authority", credentialSecret: "robot" }),
  );
  const [role, ...args] = containers[0]?.args ?? [];
  expect(role).toBe("nodes");
  const known = new Set(
    Object.values({ ...mirrorOptions, ...nodesOptions, logLevel: serveOptions.logLevel }).map(({ flags }) => flags.split(" ")[0]),
  );
  expect(args.map((flag) => flag.split("=")[0]).filter((flag) => !known.has(flag))).toEqual([]);
  expect(args).toEqual(
    expect.arrayContaining([
      "--address=https://10.96.0.50:5000",
      "--host=docker.io",
      "--host=old.example.com:5000",
      "--installation=nodes/wharfinger-nodes",
      "--ca=/var/run/secrets/wharfinger.dev/ca/ca.crt",
      "--password-file=/var/run/secrets/wharfinger.dev/nodes/password",
    ]),
  );
  expect(volumes).toContainEqual({ name: "credential", secret: { secretName: "robot", items: [{ key: "password", path: "password" }] } });
});

test("nodes go to the fixed address of the Service, by the scheme that it speaks", async () => {
  const addressOf = async (values: Values) => (await podOf(values)).containers[0]?.args.find((flag) => flag.startsWith("--address="));
  expect(await addressOf(nodes())).toBe("--address=https://10.96.0.50:5000");
  expect(await addressOf({ ...nodes({}, embedded), service: { clusterIP: "fd00::50", port: 80 } })).toBe("--address=http://[fd00::50]:80");
});

test.each([
  "http://10.96.0.50:5000",
  "http://172.31.0.1",
  "http://34.118.230.7:5000",
  "http://[fd00::50]:5000",
  "https://registry.example.com",
])("a password may go to %s", async (address) => {
  expect((await helmTemplate(nodes({ address, credentialSecret: "robot" }))).stderr).toBe("");
});

const refused: readonly (readonly [values: Values, words: string])[] = [
  [nodes({ namespace: "" }), "nodes.namespace is missing"],
  [nodes({ namespace: "registry" }), "nodes.namespace is that of the release"],
  [nodes({ hosts: [] }), "nodes.hosts is empty"],
  [{ ...nodes(), service: {} }, "nodes.address is missing, and service.clusterIP is not fixed"],
  [{ ...nodes(), service: { clusterIP: "None" } }, "nodes.address is missing"],
  [nodes({ address: "http://10.96.0.50:5000", caSecret: "authority" }), "nodes.caSecret is for an address with https://"],
  ...[
    "http://192.0.2.1:5000",
    "http://registry.example.com",
    "http://10.96.0.50.example.com",
    "http://172.32.0.1",
    "http://[2001:db8::1]",
  ].map((address) => [nodes({ address, credentialSecret: "robot" }), `nodes would show it to ${address} as it is`] as const),
  [nodes({ hosts: ["https://docker.io"] }), "nodes.hosts[0]"],
  [nodes({ hosts: ["docker.io/library"] }), "without a path"],
  [nodes({ certsDir: "/" }), "nodes.certsDir"],
  [nodes({ certsDir: "/etc/../root" }), "for example /etc/containerd/certs.d"],
  [nodes({ address: "10.96.0.50:5000" }), "nodes.address"],
  [nodes({ namespace: "Nodes!" }), "nodes.namespace"],
  [nodes({ everywhere: true }), "everywhere"],
];

test.each(refused)("%j is refused: %s", async (values, words) => {
  const { code, stdout, stderr } = await helmTemplate(values);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(words);
});
