// One Kubernetes API with our definitions for the project "kubernetes" (./shared-kubernetes.ts). Its programs are built before the first test:
// that takes longer than a test may.

import type { TestProject } from "vitest/node";

import { applyDefinitions } from "./definitions.ts";
import { startApiServer } from "./kubernetes.ts";
import { ensureKubernetes } from "./tools.ts";

declare module "vitest" {
  interface ProvidedContext {
    apiServer: { readonly folder: string; readonly url: string };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await ensureKubernetes();
  const server = await startApiServer();
  await applyDefinitions(server);
  project.provide("apiServer", { folder: server.folder, url: server.url });
  return () => server.stop();
}
