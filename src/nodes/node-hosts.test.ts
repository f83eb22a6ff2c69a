import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parse } from "smol-toml";
import { afterEach, beforeEach, expect, test } from "vitest";

import { createLogger } from "../observability/logger.ts";
import type { Mirror } from "./mirror.ts";
import { NodeHosts } from "./node-hosts.ts";

let folder: string;
beforeEach(async () => void (folder = join(await mkdtemp(join(tmpdir(), "wharfinger-node-")), "certs.d")));
afterEach(() => rm(join(folder, ".."), { recursive: true }));

const mirror: Mirror = { address: "http://10.96.0.50:5000" };
const authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const logger = createLogger({ level: "silent", inCluster: true });

function hostsOf({ hosts = ["docker.io", "old.example.com:5000"], pod = "one", installation = "nodes/wharfinger" } = {}): NodeHosts {
  return new NodeHosts({ folder, hosts, owner: { installation, pod }, logger });
}

const at = (...names: readonly string[]) => join(folder, ...names);
const dockerHub = () => readFile(at("docker.io", "hosts.toml"), "utf8");
const everything = async () => (await readdir(folder, { recursive: true })).toSorted();

test("each host has its file, with the way back; all of them go when it goes", async () => {
  const hosts = hostsOf();
  expect(await hosts.keep(mirror)).toEqual([]);
  expect(parse(await dockerHub())).toEqual({
    server: "https://registry-1.docker.io",
    host: { "http://10.96.0.50:5000": { capabilities: ["pull", "resolve"], dial_timeout: "1s" } },
  });
  expect(await everything()).toEqual(["docker.io", "docker.io/hosts.toml", "old.example.com_5000_", "old.example.com_5000_/hosts.toml"]);
  await hosts.release();
  expect(await everything()).toEqual([]);
});

test("a password that changes is written, for root alone; an authority that is no longer needed goes", async () => {
  const hosts = hostsOf({ hosts: ["docker.io"] });
  await hosts.keep({ ...mirror, address: "https://10.96.0.50:5000", authority, login: { user: "nodes", password: "one" } });
  const first = await dockerHub();
  expect((await stat(at("docker.io", "hosts.toml"))).mode & 0o777).toBe(0o600);
  expect(await readFile(at("docker.io", "wharfinger-ca.crt"), "utf8")).toContain(authority);
  await hosts.keep({ ...mirror, login: { user: "nodes", password: "two" } });
  expect(await dockerHub()).not.toBe(first);
  expect(await readdir(at("docker.io"))).toEqual(["hosts.toml"]);
});

test("what somebody removed or changed is there again", async () => {
  const hosts = hostsOf();
  await hosts.keep(mirror);
  const text = await dockerHub();
  await rm(at("docker.io"), { recursive: true });
  await hosts.keep(mirror);
  expect(await dockerHub()).toBe(text);
  await writeFile(at("docker.io", "hosts.toml"), `${text}# more\n`);
  await hosts.keep(mirror);
  expect(await dockerHub()).toBe(text);
});

test.each([
  ["a hosts.toml of somebody else", () => writeFile(at("docker.io", "hosts.toml"), 'server = "https://mirror.example.com"\n')],
  ["an authority of somebody else under our name", () => writeFile(at("docker.io", "wharfinger-ca.crt"), authority)],
  ["certificates that count without a hosts.toml", () => writeFile(at("docker.io", "ca.crt"), authority)],
  ["a symbolic link", () => symlink("../elsewhere", at("docker.io", "hosts.toml"))],
  ["a folder", () => mkdir(at("docker.io", "hosts.toml"))],
])("%s is left alone, the other hosts are configured, and it is said", async (_, make) => {
  await mkdir(at("docker.io"), { recursive: true });
  await make();
  const before = await readdir(at("docker.io"));
  const hosts = hostsOf();
  expect(await hosts.keep(mirror)).toEqual([expect.stringMatching(/^docker\.io is left as it is: .*docker\.io\//)]);
  expect(await readdir(at("docker.io"))).toEqual(before);
  expect(await readdir(at("old.example.com_5000_"))).toEqual(["hosts.toml"]);
  await hosts.release();
  expect(await readdir(folder)).toEqual(["docker.io"]);
  expect(await readdir(at("docker.io"))).toEqual(before);
});

test("a host's folder that is a link elsewhere is not followed", async () => {
  await mkdir(at("elsewhere"), { recursive: true });
  await symlink("elsewhere", at("docker.io"));
  const hosts = hostsOf();
  expect(await hosts.keep(mirror)).toEqual([expect.stringContaining("is no folder")]);
  await hosts.release();
  expect(await everything()).toEqual(["docker.io", "elsewhere"]);
});

test("another installation's are not ours", async () => {
  await hostsOf({ installation: "other/wharfinger", hosts: ["docker.io"] }).keep(mirror);
  const text = await dockerHub();
  const hosts = hostsOf();
  expect(await hosts.keep(mirror)).toEqual([expect.stringContaining("written by another installation, other/wharfinger")]);
  await hosts.release();
  expect(await dockerHub()).toBe(text);
});

test("a successor takes over before the predecessor goes: the files are there throughout", async () => {
  const old = hostsOf({ pod: "one" });
  await old.keep(mirror);
  const next = hostsOf({ pod: "two", hosts: ["docker.io", "ghcr.io"] });
  await next.keep(mirror);
  // The host that is no longer wanted is gone, and the old Pod does not fight.
  await old.keep({ address: "http://10.96.0.51:5000" });
  expect(await dockerHub()).toContain("pod two");
  expect(await dockerHub()).toContain("10.96.0.50");
  await old.release();
  expect(await everything()).toEqual(["docker.io", "docker.io/hosts.toml", "ghcr.io", "ghcr.io/hosts.toml"]);
  await next.release();
  expect(await everything()).toEqual([]);
});

test("a Pod that was killed leaves its files, and the next one takes them over", async () => {
  await hostsOf({ pod: "killed", hosts: ["docker.io", "quay.io"] }).keep(mirror);
  const next = hostsOf({ pod: "two", hosts: ["docker.io"] });
  expect(await next.keep(mirror)).toEqual([]);
  expect(await everything()).toEqual(["docker.io", "docker.io/hosts.toml"]);
  await next.release();
  expect(await everything()).toEqual([]);
});
