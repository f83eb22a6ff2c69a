// The registry of a cluster as a subcommand asks it: through the API server to one of its Pods, as an administrator.

import { ClientError } from "../../client/errors.ts";
import { ControlClient } from "../../client/control-client.ts";
import type { Connection } from "../connection.ts";
import { CommandError } from "../failure.ts";
import { AdminToken, type AccountValues } from "./admin-token.ts";
import type { Cluster } from "./open-cluster.ts";
import { RegistryPods, type PodValues } from "./registry-pods.ts";
import { Tunnel } from "./tunnel.ts";

export type ThroughValues = PodValues & AccountValues;

/** A token that somebody gave, and where it came from. */
export interface GivenToken {
  readonly token: string;
  readonly from: string;
}

export interface Through extends ThroughValues {
  /** Instead of one of the ServiceAccount. */
  readonly given: GivenToken | undefined;
  readonly tell: (line: string) => void;
}

/** Rejects with CommandError, also with what `work` was refused. */
export async function throughCluster<T>(cluster: Cluster, through: Through, work: (connection: Connection) => Promise<T>): Promise<T> {
  const pods = await RegistryPods.find(cluster, through);
  const { given } = through;
  const account = given === undefined ? new AdminToken(cluster, through, pods.first.audience) : undefined;
  const bearer = account?.bearer ?? `the bearer of the token from ${given?.from ?? ""}`;
  through.tell(`Asking the registry in namespace ${cluster.namespace} of ${cluster.name} (Pod ${pods.first.name}) as ${bearer}.`);
  // Nobody resolves this: connections are to Pods. It is the Host that `kubectl port-forward` brings, and that every listener takes.
  const url = "http://localhost";
  const tunnel = new Tunnel(() => pods.connect());
  const control = new ControlClient({
    url,
    ...(account === undefined ? { token: given?.token ?? "" } : { issueToken: () => account.token() }),
    dial: () => tunnel.connect(),
  });
  try {
    return await work({ url, token: given?.token, ca: undefined, control, record: undefined, namespace: cluster.namespace });
  } catch (error) {
    throw explain(error, { pod: `${cluster.namespace}/${pods.first.name}`, bearer, cluster });
  } finally {
    await control.close();
  }
}

function explain(error: unknown, { pod, bearer, cluster }: { pod: string; bearer: string; cluster: Cluster }): Error {
  if (!(error instanceof ClientError)) return error as Error;
  const say = (text: string) => new CommandError(text, { cause: error });
  if (error.cause instanceof CommandError) return error.cause;
  if (error.code === "Unreachable") {
    const why = (error.cause as Error | undefined)?.message ?? error.message;
    return say(
      `The connection to the registry broke (Pod ${pod} of ${cluster.name}): ${why}.\nRun it again: another Pod is asked if that one is gone.`,
    );
  }
  if (error.code === "Unauthorized") {
    return say(
      `The registry does not accept ${bearer}: ${error.message}\n` +
        "Its settings need this cluster in auth.issuers, and externalURL with the host that the token is for.",
    );
  }
  if (error.code !== "Refused") return say(error.message);
  return say(`${error.message}\nAsked as ${bearer}. For a ServiceAccount it takes an entry in the registry's setting access.admins.`);
}
