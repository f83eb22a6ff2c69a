// Pods pull by their ServiceAccount, without a pull secret: a real kubelet runs the plugin that `wharfinger hosts --for kubelet` writes, and a real
// registry judges the token.

import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";

import { freePort } from "../support/distribution.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { createNamespace, serviceAccountIssuer } from "../support/kubernetes.ts";
import { busyboxImage, pushRunnable } from "../support/node/images.ts";
import { startNode, type TestNode } from "../support/node/node.ts";
import { requireNode } from "../support/node/requirements.ts";
import { startStandalone, wharfinger, type Standalone } from "../support/standalone.ts";

let folder: string;
let node: TestNode;
let registry: Standalone;
/** externalURL's, and another name for the same registry, for which the kubelet asks tokens of another audience. */
let host: string;
let misnamed: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-provider-"));
  const port = await freePort();
  [host, misnamed] = [`registry.example.com:${port}`, `misnamed.example.com:${port}`];
  node = await startNode({ credentialProvider: await provider() });
  registry = await serve(port);
});
afterAll(async () => {
  await registry?.stop();
  await node?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** As a person makes it; and once more for the other name, whose tokens are for somebody else. */
async function provider() {
  const made = await wharfinger(["hosts", "--for", "kubelet", "--address", `http://${host}`, "--output", folder]);
  expect([made.code, made.stderr]).toEqual([0, expect.stringContaining(`externalURL: ${host}`)]);
  const config = join(folder, "wharfinger-credentials.yaml");
  const binDir = join(folder, "bin");
  interface Provider {
    name: string;
    tokenAttributes: { serviceAccountTokenAudience: string };
  }
  const configuration = parse(await readFile(config, "utf8")) as { providers: Provider[] };
  const [own] = configuration.providers as [Provider];
  const other = {
    ...own,
    name: "for-somebody-else",
    matchImages: [misnamed],
    args: [misnamed],
    tokenAttributes: { ...own.tokenAttributes, serviceAccountTokenAudience: "somebody.example.com" },
  };
  await copyFile(join(binDir, own.name), join(binDir, other.name));
  await writeFile(config, stringify({ ...configuration, providers: [own, other] }));
  return { config, binDir };
}

async function serve(port: number): Promise<Standalone> {
  const { machine } = node.addresses;
  for (const name of [host, misnamed]) {
    await node.announce(name.replace(/:\d+$/, ""), machine);
    // By its own name: under another one containerd would say `?ns=`.
    await node.setRegistryHost(name, { server: `http://${name}` });
  }
  const jwks = join(folder, "jwks.json");
  await writeFile(jwks, await kubectl("get", "--raw", "/openid/v1/jwks"));
  const settings = join(folder, "settings.yaml");
  const auth = { issuers: [{ name: "in-cluster", issuer: serviceAccountIssuer, jwks }] };
  await writeFile(settings, stringify({ externalURL: `http://${host}`, auth }));
  const config = join(folder, "config");
  await mkdir(config);
  const serving = await startStandalone({ config, settings, args: ["--listen", `${machine}:${port}`, "--allow-anonymous"] });
  const { busybox } = await requireNode();
  await pushRunnable(await busyboxImage(`${machine}:${port}/team-a/app:1`, busybox));
  // From here on nobody may do anything but who is named.
  const subjects = [{ kind: "ServiceAccount", namespace: "team-a", name: "puller" }];
  const spec = { subjects, repositories: { include: ["team-a/**"] }, actions: ["pull"] };
  await writeFile(
    join(config, "access.yaml"),
    stringify({ apiVersion: "wharfinger.dev/v1alpha1", kind: "AccessPolicy", metadata: { name: "team-a" }, spec }),
  );
  const isClosed = async () => (await fetch(`http://${machine}:${port}/v2/team-a/app/manifests/1`)).status === 401 || undefined;
  await answerTo("the policy counts", isClosed, { context: () => serving.logs() });
  return serving;
}

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.api.kubectl(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
  return stdout.trim();
}

async function startPod(
  name: string,
  { account, image, where = "team-a" }: { account: string; image: string; where?: string },
): Promise<void> {
  const overrides = JSON.stringify({ spec: { serviceAccountName: account } });
  await kubectl(
    "-n",
    where,
    "run",
    name,
    `--image=${image}`,
    "--restart=Never",
    `--overrides=${overrides}`,
    "--command",
    "--",
    "echo",
    "pulled",
  );
}

/** Why its image is not pulled, in the words of the Pod's events. */
const refusals = async (pod: string) =>
  kubectl(
    "-n",
    "team-a",
    "get",
    "events",
    `--field-selector=involvedObject.name=${pod},reason=Failed`,
    "-o",
    "jsonpath={.items[*].message}",
  );

test("nodes may ask for no such tokens until that is granted, and the Pod says so", async () => {
  await createNamespace(node.api, "team-a");
  for (const account of ["puller", "other"]) await kubectl("-n", "team-a", "create", "serviceaccount", account);
  await startPod("early", { account: "puller", image: `${host}/team-a/app:1` });
  await eventually(async () => expect(await kubectl("-n", "team-a", "describe", "pod", "early")).toContain("Failed to pull image"));
  await kubectl("apply", "-f", join(folder, "wharfinger-audience.yaml"));
  await kubectl("-n", "team-a", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/early", "--timeout=120s");
});

test("a Pod pulls as its ServiceAccount, without a pull secret", async () => {
  await startPod("pulls", { account: "puller", image: `${host}/team-a/app:1` });
  await kubectl("-n", "team-a", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/pulls", "--timeout=120s");
  expect(await kubectl("-n", "team-a", "logs", "pulls")).toBe("pulled");
  expect(await kubectl("-n", "team-a", "get", "secrets", "-o", "name")).toBe("");
});

test("another ServiceAccount is refused, also where the image is on the node already", async () => {
  await startPod("other", { account: "other", image: `${host}/team-a/app:1` });
  await eventually(async () =>
    expect(await refusals("other")).toMatch(/team-a\/app:1: not found|denied|insufficient_scope|authorization failed/),
  );
  // It was asked as that account, and not as nobody.
  expect(registry.logs()).toContain("serviceaccount:in-cluster/team-a/other");
});

test("a token for somebody else is refused, and the Pod's event says it", async () => {
  const rule = "--verb=request-serviceaccounts-token-audience";
  await kubectl("create", "clusterrole", "elsewhere", rule, "--resource=pods");
  await kubectl(
    "patch",
    "clusterrole",
    "elsewhere",
    "--type=json",
    '-p=[{"op":"replace","path":"/rules/0/resources","value":["somebody.example.com"]}]',
  );
  await kubectl("create", "clusterrolebinding", "elsewhere", "--clusterrole=elsewhere", "--group=system:nodes");
  await startPod("misnamed", { account: "puller", image: `${misnamed}/team-a/app:1` });
  await eventually(async () => expect(await refusals("misnamed")).toMatch(/401|unauthorized|authorization failed/i));
});
