// Docker's daemon.json. Its mirrors are for Docker Hub alone, and it shows them no password.

import { FormError, type Form } from "../form.ts";
import { hostOf, isPlain } from "../mirror.ts";

export const docker: Form = (mirror, hosts) => {
  const { address, authority, login } = mirror;
  const others = hosts.filter(({ host }) => host !== "docker.io").map(({ host }) => host);
  const byName = "pull by the registry's own name instead, for example registry.example.com/<prefix>/<repository>";
  if (others.length === hosts.length)
    throw new FormError(`Docker's registry-mirrors are for docker.io alone, and none of ${others.join(", ")} is that: ${byName}.`);
  if (login !== undefined)
    throw new FormError(
      `Docker shows its mirrors no password: let everybody pull what docker.io's Upstream serves (access.anonymousPull), or ${byName}.`,
    );
  const daemon = { "registry-mirrors": [address], ...(isPlain(mirror) ? { "insecure-registries": [hostOf(mirror)] } : {}) };
  return {
    files: [
      { name: "daemon.json", text: `${JSON.stringify(daemon, null, 2)}\n` },
      ...(authority === undefined ? [] : [{ name: `certs.d/${hostOf(mirror)}/ca.crt`, text: authority }]),
    ],
    notes: [
      "It belongs into /etc/docker; merge it with the daemon.json that is there, and restart Docker.",
      "Docker says which registry it means (`?ns=`) only with the containerd image store, the default of new installations from 29 on " +
        '(before: "features": {"containerd-snapshotter": true}). Without it the registry cannot know, and Docker goes to Docker Hub in silence.',
      ...(others.length === 0
        ? []
        : [`Docker has mirrors for docker.io alone, so it does not ask for ${others.join(", ")} here: ${byName}.`]),
    ],
  };
};
