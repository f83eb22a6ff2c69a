// A reader of the docs, in front of a node: a folder in the place of the checkout, kubectl and helm, a registry of the world that is called cgr.dev, and what
// the world of a reader has and that of a run has not.

import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { stringify } from "yaml";

import { createCertificates } from "../certificates.ts";
import { startDistribution } from "../distribution.ts";
import type { Place } from "../page-commands.ts";
import { tool } from "../tools.ts";
import { pushShell } from "./images.ts";
import type { NodeAccess } from "./node.ts";
import { makeVolumes } from "./volumes.ts";

const root = resolve(import.meta.dirname, "../../..");

export interface Reader extends Place {
  stop(): Promise<void>;
}

export interface ReaderOptions {
  /** Beside PATH, HOME and KUBECONFIG. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Values that `helm install` gets besides. */
  readonly values?: object;
}

/** `helm` installs with values for a small node, addresses that are nobody's and certificates that Node knows; all else is as it is. */
export async function startReader(node: NodeAccess, { environment = {}, values = {} }: ReaderOptions = {}): Promise<Reader> {
  const { machine } = node.addresses;
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-reader-"));
  const certificates = await createCertificates(machine, ["cgr.dev"]);
  const tls = { ...certificates.server, authority: certificates.authority };
  const chainguard = await startDistribution({ address: machine, port: 443, tls });
  await node.announce("cgr.dev", machine);
  await pushShell(`${chainguard.host}/chainguard/nginx:latest`, "nginx", ["sleep", "infinity"]);
  // Of the embedded profile: database and images, and the record.
  await makeVolumes(node, 2);
  await symlink(join(root, "charts"), join(folder, "charts"));
  await symlink(join(root, "deploy"), join(folder, "deploy"));
  await writeFile(join(folder, "world.yaml"), stringify(smallWorld(machine, certificates.authority)));
  await writeFile(join(folder, "more.yaml"), stringify(values));
  await wrapHelm(folder);
  return {
    folder,
    environment: {
      ...environment,
      KUBECONFIG: node.api.kubeconfig,
      PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}`,
      HOME: folder,
    },
    stop: async () => {
      await chainguard.stop();
      await node.api.kubectl(["delete", "persistentvolumes", "--all", "--wait=false"]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function smallWorld(machine: string, authority: string): object {
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
    settings: { egress: { allowedCIDRs: [`${machine}/32`] }, backup: { interval: "0s" } },
  };
}

async function wrapHelm(folder: string): Promise<void> {
  const bin = join(folder, "bin");
  await mkdir(bin);
  await symlink(await tool("kubectl"), join(bin, "kubectl"));
  const real = await tool("helm");
  const install = `install) exec ${real} "$@" --values ${folder}/world.yaml --values ${folder}/more.yaml ;;`;
  await writeFile(join(bin, "helm"), `#!/bin/sh\ncase $1 in ${install} *) exec ${real} "$@" ;; esac\n`);
  await chmod(join(bin, "helm"), 0o755);
}
