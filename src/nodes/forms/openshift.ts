// OpenShift's ImageDigestMirrorSet and ImageTagMirrorSet, from which it writes every node's registries.conf.

import { stringify } from "yaml";

import { mark, type Form } from "../form.ts";
import { hostOf, isPlain } from "../mirror.ts";
import { mirrorPath } from "./paths.ts";

const apiVersion = "config.openshift.io/v1";

export const openshift: Form = (mirror, hosts) => {
  const { authority, login } = mirror;
  const mirrors = hosts.map((host) => {
    const { source, target } = mirrorPath(mirror, host);
    return { source, mirrors: [target], mirrorSourcePolicy: "AllowContactingSource" };
  });
  const named = (kind: string, spec: object) => ({ apiVersion, kind, metadata: { name: "wharfinger" }, spec });
  const host = hostOf(mirror);
  const objects = [
    // Tags and digests are configured apart; kubelets ask for both.
    named("ImageDigestMirrorSet", { imageDigestMirrors: mirrors }),
    named("ImageTagMirrorSet", { imageTagMirrors: mirrors }),
    ...(authority === undefined
      ? []
      : [
          {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { name: "wharfinger-ca", namespace: "openshift-config" },
            // A colon cannot be in a key.
            data: { [host.replace(":", "..")]: authority },
          },
        ]),
  ];
  const image = (spec: object) => `\`oc patch image.config.openshift.io/cluster --type=merge -p '${JSON.stringify({ spec })}'\``;
  return {
    files: [
      {
        name: "wharfinger-mirrors.yaml",
        text: `${mark}\n${objects.map((object) => stringify(object, { aliasDuplicateObjects: false })).join("---\n")}`,
      },
    ],
    notes: [
      "`oc apply -f` it: OpenShift writes it to every node, one after the other, and drains them where its version has to.",
      ...(authority === undefined
        ? []
        : [
            `OpenShift takes over the authority by ${image({ additionalTrustedCA: { name: "wharfinger-ca" } })}; one ConfigMap has all of them, so merge with yours.`,
          ]),
      ...(isPlain(mirror)
        ? [`Plain http needs ${image({ registrySources: { insecureRegistries: [host] } })}; it replaces the list that is there.`]
        : []),
      ...(login === undefined
        ? []
        : [
            `The password goes into the cluster's pull secret, which this does not touch: \`oc registry login --registry=${host} --auth-basic=${login.user}:…\`.`,
          ]),
    ],
  };
};
