// Releases of the chart at an API server, by helm.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { stringify } from "yaml";

import { chartFolder, type Values } from "./chart.ts";
import { use } from "./programs.ts";

export interface HelmRelease {
  readonly kubeconfig: string;
  readonly name: string;
  readonly namespace: string;
}

/** `helm upgrade --install`; resolves with its notes. Rejects with helm's last words. */
export async function install(release: HelmRelease, values: Values): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-release-"));
  try {
    const file = join(folder, "values.yaml");
    await writeFile(file, stringify(values, { version: "1.1" }));
    return await helm(release, ["upgrade", "--install", release.name, chartFolder, "--values", file]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export const rollBack = (release: HelmRelease, revision: number) => helm(release, ["rollback", release.name, String(revision)]);

export const uninstall = (release: HelmRelease) => helm(release, ["uninstall", release.name]);

function helm({ kubeconfig, namespace }: HelmRelease, args: readonly string[]): Promise<string> {
  return use("helm", [...args, "--kubeconfig", kubeconfig, "--namespace", namespace]);
}
