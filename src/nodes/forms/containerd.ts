// containerd's own form: certs.d/<host>/hosts.toml, a folder a host, read at each pull (containerd 1.5 and newer with `config_path`).

import { mark, toml, tomlList, type Form, type NodeFile } from "../form.ts";
import { basic, type Mirror, type MirroredHost } from "../mirror.ts";

export const hostsFile = "hosts.toml";
/** Beside it. Where there is a hosts.toml, containerd reads no certificate that it does not name. */
export const authorityFile = "wharfinger-ca.crt";

/** Name of a host's folder; containerd looks for `host_port_` first, which every file system can spell. */
export function folderOf(host: string): string {
  return host.replace(/:(\d+)$/, "_$1_");
}

/** The files of one folder, by their names in it. `lead`: its first lines, whose they are. */
export function hostFiles(mirror: Mirror, { server }: Pick<MirroredHost, "server">, lead: string): NodeFile[] {
  const { address, authority, login } = mirror;
  const lines = [
    lead,
    "# The registry itself: asked when the mirror is away or does not have it.",
    `server = ${toml(server)}`,
    "",
    `[host.${toml(address)}]`,
    `  capabilities = ${tomlList(["pull", "resolve"])}`,
    // Known from containerd 2.1 on; older ones pass over it.
    `  dial_timeout = ${toml("1s")}`,
    ...(authority === undefined ? [] : [`  ca = ${toml(authorityFile)}`]),
    ...(login === undefined ? [] : [`  [host.${toml(address)}.header]`, `    Authorization = ${toml(basic(login))}`]),
  ];
  return [
    // Before the file that names it.
    ...(authority === undefined ? [] : [{ name: authorityFile, text: `${lead}\n${authority.trimEnd()}\n` }]),
    { name: hostsFile, text: `${lines.join("\n")}\n`, ...(login === undefined ? {} : { secret: true }) },
  ];
}

export const containerd: Form = (mirror, hosts) => ({
  files: hosts.flatMap((host) =>
    hostFiles(mirror, host, mark).map((file) => ({ ...file, name: `certs.d/${folderOf(host.host)}/${file.name}` })),
  ),
  notes: [
    "They belong below /etc/containerd on each node (--output /etc/containerd writes them there), and count from the next pull on. " +
      'containerd has to have config_path = "/etc/containerd/certs.d"; kind from 0.27 on and EKS\'s Amazon Linux 2023 have it.',
  ],
});

/** User data of an EKS node (Amazon Linux 2023): the same files, by a script. */
export const eks: Form = (mirror, hosts) => {
  const { files } = containerd(mirror, hosts);
  const boundary = "==WHARFINGER==";
  const script = files.map(({ name, text, secret }) => {
    const path = `/etc/containerd/${name}`;
    return [
      `mkdir -p '${path.slice(0, path.lastIndexOf("/"))}'`,
      `base64 -d >'${path}' <<'EOF'`,
      Buffer.from(text).toString("base64"),
      "EOF",
      `chmod ${secret === true ? "600" : "644"} '${path}'`,
    ].join("\n");
  });
  return {
    files: [
      {
        name: "user-data.txt",
        text: [
          "MIME-Version: 1.0",
          `Content-Type: multipart/mixed; boundary="${boundary}"`,
          "",
          `--${boundary}`,
          "Content-Type: text/x-shellscript; charset=us-ascii",
          "",
          "#!/bin/sh",
          "set -eu",
          "umask 077",
          ...script,
          // Others than root may look for certificates here.
          "chmod 755 /etc/containerd/certs.d /etc/containerd/certs.d/*",
          "",
          `--${boundary}--`,
          "",
        ].join("\n"),
        secret: mirror.login !== undefined,
      },
    ],
    notes: [
      "User data for the launch template of nodes with Amazon Linux 2023; EKS appends its own part. For Bottlerocket take --for bottlerocket.",
      ...(mirror.login === undefined
        ? []
        : ["Who may read user data reads the password; the DaemonSet of the chart keeps it in a Secret instead."]),
    ],
  };
};
