// Every platform that `wharfinger hosts --for` knows.

import type { Form } from "./form.ts";
import { bottlerocket } from "./forms/bottlerocket.ts";
import { buildkit } from "./forms/buildkit.ts";
import { containerd, eks } from "./forms/containerd.ts";
import { docker } from "./forms/docker.ts";
import { gke } from "./forms/gke.ts";
import { k3s } from "./forms/k3s.ts";
import { openshift } from "./forms/openshift.ts";
import { crio, podman } from "./forms/registries-conf.ts";

export interface Platform {
  readonly form: Form;
  /** Runs on one's own machine too, where a loopback address is one. */
  readonly local?: boolean;
}

export const platforms = {
  containerd: { form: containerd },
  k3s: { form: k3s },
  eks: { form: eks },
  bottlerocket: { form: bottlerocket },
  gke: { form: gke },
  openshift: { form: openshift },
  crio: { form: crio },
  podman: { form: podman, local: true },
  docker: { form: docker, local: true },
  buildkit: { form: buildkit, local: true },
} as const satisfies Record<string, Platform>;

export type PlatformName = keyof typeof platforms;
