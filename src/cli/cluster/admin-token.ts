// Who one is to the registry in a cluster: a ServiceAccount that `access.admins` names, by a token of ten minutes. Whoever may ask the API server
// for one administers the registry, so Kubernetes' own rights decide (verb `create` on `serviceaccounts/token`).

import { annotations } from "../../api/conditions.ts";
import { paths } from "../../operator/kube/objects.ts";
import { CommandError } from "../failure.ts";
import type { Cluster } from "./open-cluster.ts";
import { explainRefusal } from "./refusals.ts";

export interface AccountValues {
  readonly serviceAccount: string;
  readonly audience?: string;
}

interface TokenRequest {
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

/** Seconds: the shortest that there is. */
const lives = 600;
/** Milliseconds before its end at which another one is asked for. */
const renewBefore = 60_000;

export class AdminToken {
  readonly #cluster: Cluster;
  readonly #account: string;
  readonly #audience: string;
  #issued: { readonly token: string; readonly until: number } | undefined;

  /**
   * The account is in the namespace of the Pods that are shown its token: who can put a Pod there could have had the token without us.
   * `said`: what the Pods say that it has to be for. Throws CommandError.
   */
  constructor(cluster: Cluster, values: AccountValues, said: string | undefined, whose: "registry" | "operator" = "registry") {
    this.#cluster = cluster;
    this.#account = values.serviceAccount;
    this.#audience = audienceOf(values, said, whose);
  }

  /** For messages. */
  get bearer(): string {
    return `ServiceAccount ${this.#cluster.namespace}/${this.#account}, with a token for ${this.#audience}`;
  }

  /** Rejects with CommandError. */
  async token(): Promise<string> {
    if (this.#issued === undefined || this.#issued.until - renewBefore < Date.now()) this.#issued = await this.#ask();
    return this.#issued.token;
  }

  async #ask(): Promise<{ readonly token: string; readonly until: number }> {
    const { client, namespace } = this.#cluster;
    const path = `${paths.serviceAccounts(namespace)}/${this.#account}/token`;
    const spec = { audiences: [this.#audience], expirationSeconds: lives };
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
    const { status } = await client.send<TokenRequest>({ method: "POST", path, body }).catch((error: unknown) => {
      const need = {
        verb: "create",
        resource: "serviceaccounts",
        name: this.#account,
        subresource: "token",
        namespace,
        missing: `\`kubectl -n ${namespace} apply -f deploy/cli/administrator.yaml\` makes it; or name another one with --service-account, or a token with --token-file.`,
      };
      throw explainRefusal(error, need, this.#cluster);
    });
    return { token: status.token, until: Date.parse(status.expirationTimestamp) };
  }
}

function audienceOf({ audience: given }: AccountValues, said: string | undefined, whose: string): string {
  if (given !== undefined) return given;
  if (said === undefined) {
    throw new CommandError(
      `The ${whose}'s Pods do not say what a token has to be for: they lack the annotation ${annotations.audience}.\n` +
        "Give the host of the registry's externalURL with --audience, or a token with --token-file.",
    );
  }
  // API servers call themselves by URLs, and some by a word (k3s): a token that opens the cluster is not asked for because a Pod says so.
  if (URL.parse(`https://${said}`)?.host === said && (said.includes(".") || /^localhost:\d+$/.test(said))) return said;
  throw new CommandError(
    `The ${whose}'s Pods say that a token has to be for ${said} (${annotations.audience}), which is no host: it should be that of externalURL, ` +
      "for example registry.example.com. If it is right, give it with --audience.",
  );
}
