// Where the programs of an API server come from, in this order. What is looked at is which file is found: these are empty programs, and the
// download a program of ours, because tests have no internet.

import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { pinnedVersion } from "../support/go-programs.ts";
import { kubernetesProgram } from "../support/kubernetes-programs.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-programs-"));
  vi.stubEnv("WHARFINGER_TOOLS", folder);
  vi.stubEnv("KUBEBUILDER_ASSETS", undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

async function program(path: string, text = "#!/bin/sh\n"): Promise<string> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, 0o755);
  return file;
}

/** As `1.35`. */
async function pinnedMinor(): Promise<string> {
  return (await pinnedVersion("kubernetes", "k8s.io/kubernetes")).split(".").slice(0, 2).join(".").slice(1);
}

const nowhere = () => Promise.reject(new Error("nobody asked for a download"));

test("KUBEBUILDER_ASSETS comes first, then what was built, then what was downloaded", async () => {
  const downloaded = await program(`tools/envtest/k8s/${await pinnedMinor()}.0-linux-amd64/etcd`);
  expect(await kubernetesProgram("etcd", nowhere)).toBe(downloaded);
  const built = await program(`tools/etcd-${await pinnedVersion("etcd", "go.etcd.io/etcd/server/v3")}/etcd`);
  expect(await kubernetesProgram("etcd", nowhere)).toBe(built);
  const assets = await program("assets/etcd");
  vi.stubEnv("KUBEBUILDER_ASSETS", dirname(assets));
  expect(await kubernetesProgram("etcd", nowhere)).toBe(assets);
});

test("what nobody has is downloaded, of the version that is pinned", async () => {
  const minor = await pinnedMinor();
  await program("tools/envtest/k8s/1.30.0-linux-amd64/kubectl");
  const setup = await program(
    "setup-envtest",
    `#!/bin/sh
[ "$*" = "use ${minor}.x --bin-dir ${folder}/tools/envtest --print path" ] || exit 1
mkdir -p "$4/k8s/${minor}.0-any" && cp "$0" "$4/k8s/${minor}.0-any/kubectl"\n`,
  );
  const found = await kubernetesProgram("kubectl", () => Promise.resolve(setup));
  expect(found).toBe(join(folder, `tools/envtest/k8s/${minor}.0-any/kubectl`));
});
