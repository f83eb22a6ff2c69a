// The runtime configuration file of GKE Standard (`gcloud container node-pools update --containerd-config-from-file`).

import { stringify } from "yaml";

import { mark, type Form } from "../form.ts";
import { basic, isPlain } from "../mirror.ts";

const secret = "projects/PROJECT/secrets/wharfinger-ca/versions/1";

export const gke: Form = (mirror, hosts) => {
  const { address, authority, login } = mirror;
  const host = {
    host: address,
    capabilities: ["HOST_CAPABILITY_PULL", "HOST_CAPABILITY_RESOLVE"],
    dialTimeout: "1s",
    ...(authority === undefined ? {} : { ca: [{ gcpSecretManagerSecretUri: secret }] }),
    ...(login === undefined ? {} : { header: [{ key: "Authorization", value: [basic(login)] }] }),
  };
  return {
    files: [
      {
        name: "containerd-configuration.yaml",
        text: `${mark}\n${stringify({ registryHosts: hosts.map((each) => ({ server: each.host, hosts: [host] })) }, { aliasDuplicateObjects: false, lineWidth: 0 })}`,
        secret: login !== undefined,
      },
    ],
    notes: [
      "For `gcloud container node-pools update POOL --cluster CLUSTER --containerd-config-from-file=containerd-configuration.yaml`: GKE makes the nodes anew. " +
        "Autopilot: use the registry by its name.",
      ...(isPlain(mirror) ? ["An address with http:// needs GKE 1.34.1-gke.2980000 or newer."] : []),
      ...(authority === undefined
        ? []
        : [
            "GKE takes the authority from Secret Manager: `gcloud secrets create wharfinger-ca --data-file=FILE`, and its project for PROJECT in the file.",
          ]),
    ],
  };
};
