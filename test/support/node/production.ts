// Profile production with everything that it needs around it (./surroundings.ts).

import { randomBytes } from "node:crypto";

import { createCertificates } from "../certificates.ts";
import type { BareRepository } from "../git-remote.ts";
import { bucketOf } from "../registry-process.ts";
import type { NodeAccess } from "./node.ts";
import { htpasswd } from "./people.ts";
import { sharedProduct } from "./shared-node.ts";
import { createRelease, type Release, type Values } from "./release.ts";
import { startSurroundings, type Surroundings } from "./surroundings.ts";

export interface Production extends Release {
  readonly surroundings: Surroundings;
  readonly record: BareRepository;
  /** PEM: who made the certificate of the registry. */
  readonly authority: string;
  /** Gives the registry its name in the world around the cluster, and has containerd trust its authority. */
  publishName(): Promise<void>;
  /** Small enough for a node of two processors that does much else. */
  readonly values: Values;
}

/** That of `externalURL`. */
const hostname = "registry.example.com";
/** As it stands in image references. */
export const host = `${hostname}:5000`;

/** Makes namespace and Secrets, and says the values; installs nothing. */
export async function prepareProduction(node: NodeAccess, namespace: string): Promise<Production> {
  const surroundings = await startSurroundings(node);
  const release = await createRelease(node, namespace);
  const { addresses } = node;
  const clusterIP = addresses.services.replace(/0\/24$/, "50");
  const services = ["wharfinger", "wharfinger-control"].map((name) => `${name}.${namespace}.svc`);
  const { authority, server } = await createCertificates(clusterIP, [hostname, ...services]);
  await release.secret("certificate", { "tls.crt": server.cert, "tls.key": server.key, "ca.crt": authority });
  const database = await surroundings.createDatabase();
  const record = surroundings.git.repository(namespace);
  const { settings: s3 } = surroundings.s3;
  await release.secret("admin-token", { token: randomBytes(32).toString("base64") });
  await release.secret("database", { password: database.password, "ca.crt": surroundings.authority });
  await release.secret("bucket", {
    "access-key-id": s3.credentials.accessKeyId,
    "secret-access-key": s3.credentials.secretAccessKey,
  });
  await release.secret("record", surroundings.git.secret);
  await release.secret("upstream-authority", { "ca.crt": surroundings.authority });
  await release.secret("wharfinger-users", { htpasswd: await htpasswd() });
  const resources = { requests: { cpu: "10m", memory: "64Mi" } };
  const values = {
    externalURL: `https://${host}`,
    image: sharedProduct(),
    components: ["registry", "operator", "report"],
    tls: { existingSecret: "certificate" },
    service: { clusterIP },
    adminToken: { existingSecret: { name: "admin-token" } },
    database: { existingSecret: { name: "database" }, caSecret: { name: "database" } },
    storage: { s3: { existingSecret: { name: "bucket" } } },
    record: { existingSecret: "record" },
    registry: { resources },
    operator: { replicas: 2, resources },
    reporter: { cluster: "here", resources },
    settings: {
      database: { url: database.url },
      storage: { s3: bucketOf(s3) },
      record: { remote: { url: surroundings.git.urlOf(record) } },
      egress: { allowedCIDRs: [`${addresses.machine}/32`] },
      backup: { interval: "0s" },
      // By its address this machine pushes: it has not the cluster's names.
      access: { hosts: [`${clusterIP}:5000`] },
    },
  };
  return {
    ...release,
    surroundings,
    record,
    authority,
    values,
    publishName: async () => {
      await node.announce(hostname, clusterIP);
      await node.setRegistryHost(host, { server: `https://${host}`, authority });
    },
    remove: async () => {
      await release.remove();
      await surroundings.stop();
    },
  };
}

/** An Upstream with the prefix `up`, also for `?ns=images.example.com`, and a policy: what has a certificate of its own is nobody's by default. */
export const publicUpstream = ({ surroundings }: Pick<Production, "surroundings">) => `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: tools}
spec:
  url: ${surroundings.upstream.url}
  prefix: up
  hosts: [images.example.com]
  certSecretRef: {name: upstream-authority}
  cache: {tagTTL: 1s}
---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: tools}
spec: {subjects: [{kind: Anonymous}], repositories: {include: ["up/**"]}, actions: [pull]}
`;
