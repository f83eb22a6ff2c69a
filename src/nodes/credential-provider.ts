// What a kubelet needs to pull with a Pod's ServiceAccount instead of a pull secret: the plugin that it runs, its configuration, and the right to ask
// for tokens of that audience (KEP-4412, Kubernetes 1.34 and newer).

import { readFileSync } from "node:fs";

import { stringify } from "yaml";

import { mark, type NodeConfiguration } from "./form.ts";
import { hostOf, isPlain, type Mirror } from "./mirror.ts";

export const providerName = "wharfinger-credential-provider";

/** The program itself, for any node with /bin/sh. */
export function providerProgram(): string {
  return readFileSync(new URL(`../../deploy/node/${providerName}`, import.meta.url), "utf8");
}

/** CredentialProviderConfig of kubelet.config.k8s.io/v1. `host`: of externalURL, which is what tokens have to be for. */
export function providerConfig(host: string): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1",
    kind: "CredentialProviderConfig",
    providers: [
      {
        name: providerName,
        matchImages: [host],
        // The token is the password, and it is bound to the Pod: the kubelet keeps none of it, and asks for each pull.
        defaultCacheDuration: "0s",
        apiVersion: "credentialprovider.kubelet.k8s.io/v1",
        args: [host],
        tokenAttributes: {
          serviceAccountTokenAudience: host,
          cacheType: "Token",
          // Static Pods have no ServiceAccount and pull without this plugin.
          requireServiceAccount: true,
        },
      },
    ],
  };
}

/** ClusterRole and binding: from 1.33 on a node asks for no audience that nobody granted. */
export function audienceRights(host: string): readonly object[] {
  const name = `wharfinger-nodes-${host.replace(":", "-")}`;
  const rbac = "rbac.authorization.k8s.io";
  return [
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRole",
      metadata: { name },
      // The API server asks for the audience in the place of a resource.
      rules: [{ apiGroups: [""], resources: [host], verbs: ["request-serviceaccounts-token-audience"] }],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name },
      subjects: [{ apiGroup: rbac, kind: "Group", name: "system:nodes" }],
    },
  ];
}

export function kubeletConfiguration(mirror: Pick<Mirror, "address">): NodeConfiguration {
  const host = hostOf(mirror);
  return {
    files: [
      { name: `bin/${providerName}`, text: providerProgram(), executable: true },
      { name: "wharfinger-credentials.yaml", text: `${mark}\n${stringify(providerConfig(host))}` },
      {
        name: "wharfinger-audience.yaml",
        text: `${mark}\n${audienceRights(host)
          .map((object) => stringify(object))
          .join("---\n")}`,
      },
    ],
    notes: [
      "wharfinger-audience.yaml is for `kubectl apply`. The others belong on each node, for a kubelet (1.34 or newer) with " +
        "--image-credential-provider-bin-dir=<folder of the plugin> and --image-credential-provider-config=<the file, or from 1.35 on a folder of such files>; it reads them at its start.",
      `Address and audience are those of externalURL: ${host}.`,
      ...(isPlain(mirror) ? ["Over plain http, who listens on the way reads tokens of ServiceAccounts."] : []),
    ],
  };
}
