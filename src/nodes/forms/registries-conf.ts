// containers-registries.conf(5), which CRI-O, podman, skopeo and buildah read.

import { mark, toml, type Form } from "../form.ts";
import { hostOf, isPlain } from "../mirror.ts";
import { mirrorPath } from "./paths.ts";

/** `after`: what follows for the program that reads it. */
const registriesConf =
  (after: { readonly files: string; readonly login: string }): Form =>
  (mirror, hosts) => {
    const { authority, login } = mirror;
    const tables = hosts.flatMap((host) => {
      const { source, target } = mirrorPath(mirror, host);
      return [
        "[[registry]]",
        `prefix = ${toml(source)}`,
        // Asked when the mirror is away or does not have it.
        `location = ${toml(source)}`,
        "[[registry.mirror]]",
        `location = ${toml(target)}`,
        ...(isPlain(mirror) ? ["insecure = true"] : []),
        "",
      ];
    });
    const key = hostOf(mirror);
    const auths = { auths: { [key]: { auth: login && Buffer.from(`${login.user}:${login.password}`).toString("base64") } } };
    return {
      files: [
        { name: "registries.conf.d/50-wharfinger.conf", text: [mark, ...tables].join("\n") },
        ...(authority === undefined ? [] : [{ name: `certs.d/${key}/ca.crt`, text: `${mark}\n${authority.trimEnd()}\n` }]),
        ...(login === undefined ? [] : [{ name: "wharfinger-auth.json", text: `${JSON.stringify(auths, null, 2)}\n`, secret: true }]),
      ],
      notes: [
        after.files,
        ...(isPlain(mirror) ? [] : authority === undefined ? [] : ["certs.d has the authority of the registry's certificate."]),
        ...(login === undefined ? [] : [after.login]),
      ],
    };
  };

export const crio = registriesConf({
  files: "They belong below /etc/containers on each node; `systemctl reload crio` reads them.",
  login: 'CRI-O finds the password by `global_auth_file = "/etc/containers/wharfinger-auth.json"` in its [crio.image].',
});

export const podman = registriesConf({
  files: "They belong below /etc/containers, or below ~/.config/containers for one user alone.",
  login: "podman finds the password with `--authfile`, or once you log in: `podman login` to the same host.",
});
