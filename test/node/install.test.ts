// docs/guides/install.md, word by word: each of its commands, in its order, on a real node.

import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";

import { createCertificates } from "../support/certificates.ts";
import { startDistribution, type Distribution } from "../support/distribution.ts";
import { pushShell } from "../support/node/images.ts";
import type { NodeAccess } from "../support/node/node.ts";
import { sharedNode, sharedProduct } from "../support/node/shared-node.ts";
import { startSurroundings, type Surroundings } from "../support/node/surroundings.ts";
import { makeVolumes } from "../support/node/volumes.ts";
import { program } from "../support/programs.ts";
import { tool } from "../support/tools.ts";

const root = resolve(import.meta.dirname, "../..");
const page = await readFile(join(root, "docs/guides/install.md"), "utf8");
const blocks = [...page.matchAll(/^```sh(.*)\n([^]*?)^```$/gm)].map(([, mark = "", text = ""]) => ({ mark: mark.trim(), text }));
/** What a reader sets himself (`sh yours`), the run sets. */
const commands = blocks.filter(({ mark }) => mark !== "yours").map(({ text }) => ({ text, named: text.split("\n")[0] ?? "" }));

let node: NodeAccess;
let surroundings: Surroundings;
let chainguard: Distribution;
/** In the place of the checkout. */
let folder: string;
let environment: Record<string, string>;

beforeAll(async () => {
  node = await sharedNode();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-install-"));
  const { machine } = node.addresses;
  surroundings = await startSurroundings(node);
  const certificates = await createCertificates(machine, ["cgr.dev"]);
  chainguard = await startDistribution({ address: machine, port: 443, tls: { ...certificates.server, authority: certificates.authority } });
  await node.announce("cgr.dev", machine);
  await pushShell(`${chainguard.host}/chainguard/nginx:latest`, "nginx", ["sleep", "infinity"]);
  // The trial's two.
  await makeVolumes(node, 2);
  await symlink(join(root, "charts"), join(folder, "charts"));
  environment = await yours();
  await writeFile(join(folder, "world.yaml"), stringify(smallWorld(certificates.authority)));
  await wrapHelm();
});
afterAll(async () => {
  await surroundings?.stop();
  await chainguard?.stop();
  await node?.api.kubectl(["delete", "persistentvolumes", "--all", "--wait=false"]);
  await rm(folder, { recursive: true, force: true });
});

test("the page has commands, and none that are marked otherwise than as they are read here", () => {
  expect(commands.length).toBeGreaterThan(9);
  expect([...new Set(blocks.map(({ mark }) => mark))].sort()).toEqual(["", "yours"]);
});

test.each(commands)("$named", async ({ text }) => {
  if (text.includes("$HOST/")) await leadHostToService();
  const { code, stdout, stderr } = await program("bash", ["-euo", "pipefail", "-c", text], {
    cwd: folder,
    env: environment,
    timeout: 590_000,
  });
  const pods = code === 0 ? "" : (await node.api.kubectl(["describe", "pods", "--all-namespaces"])).stdout;
  expect({ code, said: code === 0 ? "" : `${stdout}${stderr}${pods}` }).toEqual({ code: 0, said: "" });
});

/** Files and addresses, under the names that the page gives them. */
async function yours(): Promise<Record<string, string>> {
  const { repository, digest } = sharedProduct();
  const database = await surroundings.createDatabase();
  const { settings: s3 } = surroundings.s3;
  const { secret } = surroundings.git;
  const host = "registry.example.com";
  const services = ["wharfinger.wharfinger.svc", "wharfinger-control.wharfinger.svc"];
  const registry = await createCertificates("127.0.0.1", [host, ...services]);
  const files = {
    DATABASE_PASSWORD_FILE: database.password,
    DATABASE_CA_FILE: surroundings.authority,
    BUCKET_ACCESS_KEY_ID_FILE: s3.credentials.accessKeyId,
    BUCKET_SECRET_ACCESS_KEY_FILE: s3.credentials.secretAccessKey,
    GIT_PASSWORD_FILE: secret["password"] ?? "",
    GIT_CA_FILE: secret["ca.crt"] ?? "",
    TLS_CERTIFICATE_FILE: registry.server.cert,
    TLS_KEY_FILE: registry.server.key,
    TLS_CA_FILE: registry.authority,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return {
    ...Object.fromEntries(Object.keys(files).map((name) => [name, name])),
    IMAGE: repository,
    TAG: digest.replace(":", "-"),
    HOST: host,
    SERVICE: "ClusterIP",
    DATABASE_URL: database.url,
    BUCKET: s3.bucket,
    BUCKET_REGION: s3.region,
    BUCKET_ENDPOINT: s3.endpoint ?? "",
    GIT_URL: surroundings.git.urlOf(surroundings.git.repository("install")),
    GIT_USERNAME: secret["username"] ?? "",
    KUBECONFIG: node.api.kubeconfig,
    PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}`,
    HOME: folder,
  };
}

/** What the world of a reader has and that of the run has not: certificates that Node knows, addresses that are nobody's, and a node with room. */
function smallWorld(authority: string): object {
  const resources = { requests: { cpu: "10m", memory: "64Mi" } };
  const mounted = { name: "world", mountPath: "/etc/world" };
  return {
    extraObjects: [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "world" }, data: { "ca.crt": authority } }],
    registry: {
      resources,
      extraEnv: [{ name: "NODE_EXTRA_CA_CERTS", value: "/etc/world/ca.crt" }],
      extraVolumes: [{ name: "world", configMap: { name: "world" } }],
      extraVolumeMounts: [mounted],
    },
    operator: { resources },
    reporter: { resources },
    settings: { egress: { allowedCIDRs: [`${node.addresses.machine}/32`] }, backup: { interval: "0s" } },
  };
}

/** `helm install` with that, too; everything else as it is. */
async function wrapHelm(): Promise<void> {
  const bin = join(folder, "bin");
  await mkdir(bin);
  await symlink(await tool("kubectl"), join(bin, "kubectl"));
  const real = await tool("helm");
  await writeFile(
    join(bin, "helm"),
    `#!/bin/sh\ncase $1 in install) exec ${real} "$@" --values world.yaml ;; *) exec ${real} "$@" ;; esac\n`,
  );
  await chmod(join(bin, "helm"), 0o755);
}

/** The name, and the trust of nodes: what the page leaves to the guide of nodes. */
async function leadHostToService(): Promise<void> {
  const { stdout } = await node.api.kubectl(["-n", "wharfinger", "get", "service/wharfinger", "-o", "jsonpath={.spec.clusterIP}"]);
  const host = environment["HOST"] ?? "";
  await node.announce(host, stdout);
  await node.setRegistryHost(host, { server: `https://${host}`, authority: await readFile(join(folder, "TLS_CA_FILE"), "utf8") });
}
