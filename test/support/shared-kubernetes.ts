// The run's own Kubernetes API with our definitions, for tests that neither end it nor change what is not in their namespace.

import { inject } from "vitest";

import { openApi, type KubernetesApi } from "./kubernetes-access.ts";

export function sharedApiServer(): Promise<KubernetesApi> {
  const { folder, url } = inject("apiServer");
  return openApi(folder, url);
}
