// registries.yaml of k3s and RKE2, from which they write containerd's own at their start.

import { stringify } from "yaml";

import { mark, type Form } from "../form.ts";
import { hostOf } from "../mirror.ts";

const folder = "/etc/rancher/k3s";

export const k3s: Form = (mirror, hosts) => {
  const { address, authority, login } = mirror;
  const config = {
    ...(login === undefined ? {} : { auth: { username: login.user, password: login.password } }),
    ...(authority === undefined ? {} : { tls: { ca_file: `${folder}/wharfinger-ca.crt` } }),
  };
  const registries = {
    mirrors: Object.fromEntries(hosts.map(({ host }) => [host, { endpoint: [address] }])),
    ...(Object.keys(config).length === 0 ? {} : { configs: { [hostOf(mirror)]: config } }),
  };
  return {
    files: [
      { name: "registries.yaml", text: `${mark}\n${stringify(registries)}`, secret: login !== undefined },
      ...(authority === undefined ? [] : [{ name: "wharfinger-ca.crt", text: `${mark}\n${authority.trimEnd()}\n` }]),
    ],
    notes: [
      `It belongs into ${folder} on each node, servers and agents, and counts after a restart of k3s. RKE2: the same in /etc/rancher/rke2` +
        (authority === undefined ? "." : ", also in ca_file."),
      "The way back to the registry itself is there by itself, unless k3s runs with --disable-default-registry-endpoint.",
    ],
  };
};
