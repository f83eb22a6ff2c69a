// Profile production with everything that it needs around it (./surroundings.ts).

import { randomBytes } from "node:crypto";

import type { BareRepository } from "../git-remote.ts";
import { bucketOf } from "../registry-process.ts";
import type { Cluster, Entrance } from "./cluster.ts";
import { htpasswd } from "./people.ts";
import { createRelease, type Release, type Values } from "./release.ts";
import { startSurroundings, type Surroundings } from "./surroundings.ts";

export interface Production extends Release {
  readonly surroundings: Surroundings;
  readonly record: BareRepository;
  /** How it is reached: `publish` when it is there. */
  readonly entrance: Entrance;
  /** Small enough for a node of two processors that does much else. */
  readonly values: Values;
}

/** Makes namespace and Secrets, and says the values; installs nothing. */
export async function prepareProduction(cluster: Cluster, namespace: string): Promise<Production> {
  const surroundings = await startSurroundings(cluster);
  const release = await createRelease(cluster, namespace);
  const entrance = await cluster.entranceOf(namespace);
  for (const [name, data] of Object.entries(entrance.secrets)) await release.secret(name, data);
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
    ...entrance.values,
    image: cluster.image,
    components: ["registry", "operator", "report"],
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
      egress: { allowedCIDRs: [`${cluster.addresses.machine}/32`] },
      backup: { interval: "0s" },
      // This machine has not the cluster's names.
      access: { hosts: [entrance.address] },
    },
  };
  return {
    ...release,
    surroundings,
    record,
    entrance,
    values,
    address: () => Promise.resolve(entrance.address),
    remove: async () => {
      await release.remove();
      await surroundings.stop();
    },
  };
}

/** An Upstream with the prefix `up`, also for `?ns=images.example.com`. */
export const upstreamOf = ({ surroundings }: Pick<Production, "surroundings">) => `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: tools}
spec:
  url: ${surroundings.upstream.url}
  prefix: up
  hosts: [images.example.com]
  certSecretRef: {name: upstream-authority}
  cache: {tagTTL: 1s}
`;

/** And a policy: where the registry is open to others than the cluster, nobody pulls without a login by default. */
export const publicUpstream = (release: Pick<Production, "surroundings">) => `${upstreamOf(release)}---
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: tools}
spec: {subjects: [{kind: Anonymous}], repositories: {include: ["up/**"]}, actions: [pull]}
`;
