// buildkitd.toml, of `docker buildx create --buildkitd-config` too.

import { mark, toml, tomlList, type Form } from "../form.ts";
import { hostOf, isPlain } from "../mirror.ts";

export const buildkit: Form = (mirror, hosts) => {
  const { authority, login } = mirror;
  const host = hostOf(mirror);
  const lines = [
    mark,
    // BuildKit says `?ns=`, so the mirror has no path.
    ...hosts.flatMap((each) => [`[registry.${toml(each.host)}]`, `  mirrors = ${tomlList([host])}`, ""]),
    ...(isPlain(mirror) ? [`[registry.${toml(host)}]`, "  http = true", ""] : []),
    ...(authority === undefined ? [] : [`[registry.${toml(host)}]`, `  ca = ${tomlList(["/etc/buildkit/wharfinger-ca.crt"])}`, ""]),
  ];
  return {
    files: [
      { name: "buildkitd.toml", text: lines.join("\n") },
      ...(authority === undefined ? [] : [{ name: "wharfinger-ca.crt", text: `${mark}\n${authority.trimEnd()}\n` }]),
    ],
    notes: [
      "It belongs into /etc/buildkit, or to `docker buildx create --buildkitd-config`. The way back to the registry itself is there by itself.",
      ...(login === undefined
        ? []
        : [`BuildKit has the password from who builds: \`docker login ${host} -u ${login.user}\` there; the file is without it.`]),
    ],
  };
};
