// What `wharfinger hosts` refuses, and where it writes. Against a running registry: test/integration/hosts.test.ts.

import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { wharfinger } from "../../test/support/standalone.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-hosts-"));
  await writeFile(join(folder, "password"), "wfr_secret\n");
  await writeFile(join(folder, "empty"), "\n");
});
afterAll(() => rm(folder, { recursive: true }));

const hosts = (...args: readonly string[]) => wharfinger(["hosts", ...args], { cwd: folder, env: { HOME: folder, KUBECONFIG: "" } });
const hub = ["--upstream", "docker.io=hub"];
const clusterIp = ["--address", "http://10.96.0.50:5000"];

test.each([
  [["--for", "containerd"], 2, "required option '--address <url>' not specified"],
  [clusterIp, 2, "required option '--for <platform>' not specified"],
  [
    ["--for", "windows", ...clusterIp],
    2,
    "Allowed choices are containerd, k3s, eks, bottlerocket, gke, openshift, crio, podman, docker, buildkit, kubelet",
  ],
  [["--for", "containerd", "--address", "10.96.0.50:5000"], 2, "nodes send nothing over plain http unless that is written"],
  [["--for", "containerd", ...clusterIp, "--host", "https://docker.io"], 2, "no scheme, no path"],
  [["--for", "containerd", ...clusterIp, ...hub, "--host", "quay.io"], 1, "No Upstream serves quay.io (there are docker.io)"],
  [["--for", "containerd", "--address", "http://127.0.0.1:5000", ...hub], 1, "is each node itself"],
  [["--for", "kubelet", "--address", "https://localhost"], 1, "is each node itself"],
  [["--for", "containerd", "--address", "https://docker.io", ...hub], 1, "docker.io is the registry itself"],
  [["--for", "k3s", ...clusterIp, ...hub, "--ca", "password"], 1, "--ca is for an address with https://"],
  [["--for", "k3s", "--address", "https://r.example.com", ...hub, "--ca", "password"], 1, "has no certificate in it"],
  [["--for", "k3s", "--address", "https://r.example.com", ...hub, "--ca", "nowhere"], 1, "cannot be read: ENOENT"],
  [
    ["--for", "k3s", "--address", "http://r.example.com", ...hub, "--password-file", "password"],
    1,
    "would go to http://r.example.com as it is",
  ],
  [["--for", "k3s", ...clusterIp, ...hub, "--password-file", "empty"], 1, "(--password-file) is empty"],
  [["--for", "k3s", ...clusterIp, ...hub, "--user", "a:b"], 1, "has a colon in it"],
  [["--for", "containerd", ...clusterIp], 1, "No registry is running on the data folder"],
])("%j", async (args, code, words) => {
  const done = await hosts(...args);
  expect([done.code, done.stdout]).toEqual([code, ""]);
  expect(done.stderr).toContain(words);
});

test("one file is printed as it is, and the words are on stderr", async () => {
  const { code, stdout, stderr } = await hosts("--for", "docker", "--address", "http://127.0.0.1:5000", ...hub);
  expect([code, JSON.parse(stdout)]).toEqual([
    0,
    { "registry-mirrors": ["http://127.0.0.1:5000"], "insecure-registries": ["127.0.0.1:5000"] },
  ]);
  expect(stderr).toContain("It belongs into /etc/docker");
});

test("files are written below --output, and a password in plain is warned of", async () => {
  const at = join(folder, "containerd");
  const { code, stdout, stderr } = await hosts("--for", "containerd", ...clusterIp, ...hub, "--password-file", "password", "--output", at);
  expect([code, stdout]).toEqual([0, ""]);
  expect(stderr).toContain(`Wrote ${at}/certs.d/docker.io/hosts.toml.`);
  expect(stderr).toContain("The password of nodes goes over the network as it is");
  const file = join(at, "certs.d/docker.io/hosts.toml");
  expect(await readFile(file, "utf8")).toContain(Buffer.from("nodes:wfr_secret").toString("base64"));
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});
