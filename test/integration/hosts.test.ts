// `wharfinger hosts` of a registry that runs: it knows the Upstreams, and a client configured by it pulls through them.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { startDistribution, type Distribution } from "../support/distribution.ts";
import { answerTo } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { program } from "../support/programs.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

let folder: string;
let upstream: Distribution;
let wharfinger: Standalone;
let digest: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-hosts-"));
  upstream = await startDistribution();
  digest = await pushImage({ reference: `${upstream.host}/chainguard/nginx:1`, content: "nginx", platform: "linux/amd64" });
  wharfinger = await startStandalone();
  const spec = `{url: '${upstream.url}', insecure: true, prefix: cgr, repositoryPrefix: chainguard, hosts: [images.invalid]}`;
  await writeFile(
    join(wharfinger.config, "upstream.yaml"),
    `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: cgr}\nspec: ${spec}\n`,
  );
  await answerTo("the Upstream is served", async () => ((await hosts("containerd")).code === 0 ? true : undefined), {
    context: () => wharfinger.logs(),
  });
});
afterAll(async () => {
  await wharfinger?.stop();
  await upstream?.stop();
  await rm(folder, { recursive: true, force: true });
});

const hosts = (platform: string, ...args: readonly string[]) =>
  wharfinger.cli(["hosts", "--for", platform, "--address", "http://10.96.0.50:5000", ...args]);

test("the hosts are those that Upstreams list", async () => {
  const { stdout } = await hosts("containerd");
  expect(stdout).toContain("# certs.d/images.invalid/hosts.toml\n");
  const { code, stderr } = await hosts("containerd", "--host", "quay.io");
  expect([code, stderr]).toEqual([1, expect.stringContaining("No Upstream serves quay.io (there are images.invalid)")]);
});

test("skopeo pulls through the registry, by the path of the prefix, what it cannot reach itself", async () => {
  const home = join(folder, "home");
  const inspect = () => program("skopeo", ["inspect", "--no-tags", "docker://images.invalid/chainguard/nginx:1"], { env: { HOME: home } });
  expect((await inspect()).code).not.toBe(0);
  const at = join(home, ".config/containers");
  const written = await wharfinger.cli(["hosts", "--for", "podman", "--address", wharfinger.url, "--output", at]);
  expect([written.code, written.stderr]).toEqual([0, expect.stringContaining("Wrote ")]);
  const { code, stdout, stderr } = await inspect();
  expect([code, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toMatchObject({ Digest: digest });
});
