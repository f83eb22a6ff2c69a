// What an API server refused, as something a person can act on: which right is missing, how to see that, and which Role has it.

import { KubeError } from "../../operator/kube/errors.ts";
import { CommandError } from "../failure.ts";
import type { Cluster } from "./open-cluster.ts";

export interface Need {
  readonly verb: string;
  /** As RBAC writes it: `pods`, `upstreams.wharfinger.dev`. */
  readonly resource: string;
  readonly subresource?: string;
  /** Of the one object that it is about. */
  readonly name?: string;
  /** Undefined: in all. */
  readonly namespace?: string;
  /** What to do where the object is not there. */
  readonly missing?: string;
}

/** Anything but a KubeError as it is. */
export function explainRefusal(error: unknown, need: Need, { name: cluster }: Pick<Cluster, "name">): Error {
  if (!(error instanceof KubeError)) return error as Error;
  const say = (text: string) => new CommandError(text, { cause: error });
  switch (error.status) {
    case 0:
      return say(`${error.message}\nIs that the cluster you mean (${cluster})? Choose with --context or --kubeconfig.`);
    case 401:
      return say(`The API server of ${cluster} does not know you: ${error.message}. Log in as you do for kubectl, then run it again.`);
    case 403:
      return say(
        `${error.message}\n\`${canI(need)}\` says when you may. deploy/cli/administrator.yaml has a Role with all that this program needs.`,
      );
    case 404:
      return say(need.missing === undefined ? error.message : `${error.message}. ${need.missing}`);
    default:
      return say(`The API server of ${cluster} refuses to ${need.verb} ${placed(need)}: ${error.message}`);
  }
}

function canI({ verb, resource, subresource, name, namespace }: Need): string {
  const words = ["kubectl auth can-i", verb, name === undefined ? resource : `${resource}/${name}`];
  if (subresource !== undefined) words.push(`--subresource=${subresource}`);
  words.push(namespace === undefined ? "--all-namespaces" : `-n ${namespace}`);
  return words.join(" ");
}

function placed({ resource, subresource, name }: Need): string {
  return [resource, name, subresource].filter((part) => part !== undefined).join("/");
}
