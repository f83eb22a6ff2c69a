// Volumes of a node, for claims without a class: in the place of what makes them elsewhere.

import { randomBytes } from "node:crypto";

import type { NodeAccess } from "./node.ts";
import { nodeName } from "./kubelet.ts";

/** 20 GiB each, so it is said. */
export async function makeVolumes(node: NodeAccess, count: number): Promise<void> {
  for (let made = 0; made < count; made++) {
    const name = `volume-${randomBytes(4).toString("hex")}`;
    const path = `/var/lib/volumes/${name}`;
    await node.run(["mkdir", "-p", path]);
    const terms = [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [nodeName] }] }];
    const spec = {
      capacity: { storage: "20Gi" },
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Retain",
      local: { path },
      nodeAffinity: { required: { nodeSelectorTerms: terms } },
    };
    const body = { apiVersion: "v1", kind: "PersistentVolume", metadata: { name }, spec };
    const { code, stderr } = await node.api.kubectl(["apply", "-f", "-"], { input: JSON.stringify(body) });
    if (code !== 0) throw new Error(stderr);
  }
}
