// Settings of Bottlerocket, as user data has them.

import { mark, toml, tomlList, type Form } from "../form.ts";
import { hostOf } from "../mirror.ts";

export const bottlerocket: Form = (mirror, hosts) => {
  const { address, authority, login } = mirror;
  const lines = [
    mark,
    ...hosts.flatMap(({ host }) => [
      "[[settings.container-registry.mirrors]]",
      `registry = ${toml(host)}`,
      `endpoint = ${tomlList([address])}`,
      "",
    ]),
    ...(login === undefined
      ? []
      : [
          "[[settings.container-registry.credentials]]",
          `registry = ${toml(hostOf(mirror))}`,
          `username = ${toml(login.user)}`,
          `password = ${toml(login.password)}`,
          "",
        ]),
    ...(authority === undefined
      ? []
      : ["[settings.pki.wharfinger]", `data = ${toml(Buffer.from(authority).toString("base64"))}`, "trusted = true", ""]),
  ];
  return {
    files: [{ name: "user-data.toml", text: lines.join("\n"), secret: login !== undefined }],
    notes: [
      "It goes into the user data of nodes, or by `apiclient set` to those that run. The way back to the registry itself is there by itself.",
      ...(authority === undefined ? [] : ["The whole system trusts the authority then, not the container runtime alone."]),
      ...(login === undefined ? [] : ["Who may read user data reads the password."]),
    ],
  };
};
