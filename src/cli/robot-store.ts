// Where robots are: the Secret of a cluster, one field manager a robot, or the same Secret in a file of resources.

import { parse, stringify } from "yaml";

import { robotManager, robotSecret, type SecretObject } from "../domain/robot-entry.ts";
import type { SecretData } from "../domain/secrets.ts";
import { textOf, writeWhole } from "../nodes/write-files.ts";
import { KubeError } from "../operator/kube/errors.ts";
import { paths } from "../operator/kube/objects.ts";
import type { Cluster } from "./cluster/open-cluster.ts";
import { saidByPods } from "./cluster/record-report.ts";
import { explainRefusal } from "./cluster/refusals.ts";
import { CommandError } from "./failure.ts";

export interface RobotStore {
  /** For messages. */
  readonly name: string;
  read(): Promise<SecretData>;
  /** The namespace that an operator of this one looks at instead; undefined: this one, or nobody says so. */
  elsewhere(): Promise<string | undefined>;
  /** The robot last: pull secrets that nobody can use yet do no harm. */
  add(name: string, entry: string, pullSecrets: readonly SecretObject[]): Promise<void>;
  remove(name: string): Promise<void>;
}

export function clusterStore(cluster: Cluster, secret: string): RobotStore {
  const { client, namespace } = cluster;
  const path = `${paths.secrets(namespace)}/${secret}`;
  const refused = (verb: string, of: { namespace: string; name: string }) => (error: unknown) => {
    if (error instanceof KubeError && error.status === 403)
      throw new CommandError(
        `${error.message}\nIt takes the verbs get and patch for Secret ${namespace}/${secret}, and create where there is none; for pull secrets patch and create in their namespaces.`,
        { cause: error },
      );
    throw explainRefusal(error, { verb, resource: "secrets", ...of }, cluster);
  };
  return {
    name: `Secret ${namespace}/${secret} (${cluster.name})`,
    elsewhere: () => saidByPods(cluster),
    read: async () => {
      const found = await client.send<Partial<SecretObject>>({ path }).catch((error: unknown) => {
        if (error instanceof KubeError && error.status === 404 && error.reason === "NotFound") return undefined;
        return refused("get", { namespace, name: secret })(error);
      });
      return decoded(found?.data ?? {});
    },
    add: async (name, entry, pullSecrets) => {
      for (const object of [...pullSecrets, robotSecret({ name: secret, namespace }, name, entry)]) {
        const of = { namespace: object.metadata.namespace ?? namespace, name: object.metadata.name };
        await client
          .send({
            method: "PATCH",
            path: `${paths.secrets(of.namespace)}/${of.name}`,
            // Not forced: what another manager has is not ours to take over.
            query: { fieldManager: robotManager(name) },
            contentType: "application/apply-patch+yaml",
            body: object,
          })
          .catch(refused("patch", of));
      }
    },
    // Whoever wrote it.
    remove: async (name) =>
      void (await client
        .send({ method: "PATCH", path, contentType: "application/merge-patch+json", body: { data: { [name]: null } } })
        .catch(refused("patch", { namespace, name: secret }))),
  };
}

export function fileStore(file: string, secret: string): RobotStore {
  const read = async (): Promise<SecretObject> => {
    const text = await textOf(file);
    if (text === undefined) return { apiVersion: "v1", kind: "Secret", metadata: { name: secret }, data: {} };
    const found = secretIn(text);
    if (found?.kind !== "Secret" || found.metadata?.name !== secret || "stringData" in found)
      throw new CommandError(`${file} (--file) is not the Secret ${secret} with \`data\` and nothing beside it: name a file of its own.`);
    return { apiVersion: "v1", kind: "Secret", metadata: found.metadata, data: found.data ?? {} };
  };
  const write = async (object: SecretObject) => writeWhole(file, stringify(object), 0o600);
  return {
    name: file,
    elsewhere: () => Promise.resolve(undefined),
    read: async () => decoded((await read()).data),
    add: async (name, entry) => {
      const object = await read();
      await write({ ...object, data: { ...object.data, ...robotSecret({ name: secret }, name, entry).data } });
    },
    remove: async (name) => {
      const object = await read();
      await write({ ...object, data: Object.fromEntries(Object.entries(object.data).filter(([key]) => key !== name)) });
    },
  };
}

/** Undefined: it is no YAML. */
function secretIn(text: string): Partial<SecretObject> | null | undefined {
  try {
    return parse(text) as Partial<SecretObject> | null;
  } catch {
    return undefined;
  }
}

function decoded(data: Readonly<Record<string, string>>): SecretData {
  return new Map(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64")]));
}
