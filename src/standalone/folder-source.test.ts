import { writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm, symlink, unlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";

import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import { eventually } from "../../test/support/eventually.ts";
import { openFolderSource, type FolderSource } from "./folder-source.ts";

let folder: string;
let log: string[];
const open: FolderSource[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-config-"));
  log = [];
});
afterEach(async () => {
  for (const source of open.splice(0)) await source.close();
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true, force: true });
});

async function source(times?: { pause: number; settle: number }): Promise<FolderSource> {
  const lines = new Writable({
    write: (chunk: Buffer, _encoding, done) => (log.push((JSON.parse(chunk.toString()) as { msg: string }).msg), done()),
  });
  const opened = await openFolderSource(folder, { logger: pino({}, lines), ...(times === undefined ? {} : { times }) });
  open.push(opened);
  return opened;
}

const upstream = (name: string, url = "https://example.com") => `apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: ${name}}
spec:
  url: ${url}
  prefix: ${name}
`;
const secret = (value: string) => `apiVersion: v1
kind: Secret
metadata: {name: users}
stringData: {htpasswd: "${value}"}
`;

/** `name url` of each resource. */
const held = (of: FolderSource) => of.snapshot().resources.map(({ name, spec }) => `${name} ${(spec as { url: string }).url}`);
const problems = (of: FolderSource) => of.snapshot().problems.map(({ source, line, message }) => `${source}:${line ?? ""}: ${message}`);
const htpasswd = (of: FolderSource) => Buffer.from(of.secret("default", "users")?.get("htpasswd") ?? "").toString();
const write = (name: string, text: string) => writeFile(join(folder, name), text);

/** The next time the source tells its listeners, after `act`. */
async function change(of: FolderSource, act: () => Promise<unknown>): Promise<void> {
  let tell = () => {};
  const told = new Promise<void>((resolve) => (tell = resolve));
  const end = of.onChange(tell);
  await act();
  await told;
  end();
}

test("reads every resource file at any depth, in the order of names, and passes over the rest", async () => {
  await mkdir(join(folder, "team/deep"), { recursive: true });
  await mkdir(join(folder, ".git"));
  await write("team/deep/b.yml", upstream("b"));
  await write("a.yaml", `${upstream("a")}---\n${secret("one")}`);
  await write(
    "c.json",
    JSON.stringify({
      apiVersion: "wharfinger.dev/v1alpha1",
      kind: "Upstream",
      metadata: { name: "c", namespace: "n" },
      spec: { url: "u" },
    }),
  );
  await write(".hidden.yaml", upstream("hidden"));
  await write(".git/config.yaml", upstream("git"));
  await write("README.md", "# no resource");
  const found = await source();
  expect(found.snapshot()).toMatchObject({ complete: true, problems: [] });
  expect(found.snapshot().resources.map(({ namespace, name, source: at, generation }) => [namespace, name, at, generation])).toEqual([
    ["default", "a", "a.yaml:1", undefined],
    ["n", "c", "c.json:1", undefined],
    ["default", "b", "team/deep/b.yml:1", undefined],
  ]);
  expect(found.snapshot().resources[0]?.lineOf("spec.prefix")).toBe(6);
  expect(htpasswd(found)).toBe("one");
  expect(found.secret("other", "users")).toBeUndefined();
  expect(found.configMap("default", "users")).toBeUndefined();
  expect(JSON.stringify(found.snapshot())).not.toContain("one");
});

test("an edit, a new file, a removed file", async () => {
  await write("a.yaml", upstream("a"));
  const found = await source();
  await change(found, () => write("a.yaml", upstream("a", "https://other.example")));
  expect(held(found)).toEqual(["a https://other.example"]);
  await change(found, () => write("b.yaml", upstream("b")));
  expect(held(found)).toEqual(["a https://other.example", "b https://example.com"]);
  await change(found, () => unlink(join(folder, "a.yaml")));
  expect(held(found)).toEqual(["b https://example.com"]);
  expect(found.snapshot().complete).toBe(true);
});

test("an editor that writes beside and renames, with the old size and time", async () => {
  await write("a.yaml", upstream("a", "https://one.example"));
  const old = new Date(1_700_000_000_000);
  await utimes(join(folder, "a.yaml"), old, old);
  const found = await source();
  await change(found, async () => {
    await write(".a.yaml.swp", upstream("a", "https://two.example"));
    await utimes(join(folder, ".a.yaml.swp"), old, old);
    await rename(join(folder, ".a.yaml.swp"), join(folder, "a.yaml"));
  });
  expect(held(found)).toEqual(["a https://two.example"]);
});

test("an editor that empties the file before it writes is not caught half way", async () => {
  await write("a.yaml", upstream("a", "https://one.example"));
  const found = await source({ pause: 10, settle: 1_500 });
  const seen: string[][] = [];
  found.onChange(() => seen.push(held(found)));
  for (let round = 0; round < 2; round++) {
    await write("a.yaml", "");
    await new Promise((resolve) => setTimeout(resolve, 60));
    await change(found, () => write("a.yaml", upstream("a", `https://${round}.example`)));
  }
  expect(seen.flat().every((text) => text.startsWith("a https://"))).toBe(true);
  expect(seen.every((resources) => resources.length === 1)).toBe(true);
  expect(held(found)).toEqual(["a https://1.example"]);
});

test("a file that is written over and over holds up neither an edit nor a removal beside it", async () => {
  for (const name of ["a", "b", "c"]) await write(`${name}.yaml`, upstream(name));
  const found = await source();
  let turn = 0;
  const writer = setInterval(() => writeFileSync(join(folder, "a.yaml"), upstream("a", `https://${++turn}.example`)), 5);
  try {
    await write("b.yaml", upstream("b", "https://other.example"));
    await unlink(join(folder, "c.yaml"));
    await eventually(() => expect(held(found).slice(1)).toEqual(["b https://other.example"]));
  } finally {
    clearInterval(writer);
  }
  await eventually(() => expect(held(found)).toEqual([`a https://${turn}.example`, "b https://other.example"]));
});

test("a ConfigMap mount: links through ..data, swapped as one", async () => {
  await mkdir(join(folder, "..1"));
  await write("..1/a.yaml", upstream("a", "https://one.example"));
  await symlink("..1", join(folder, "..data"));
  await symlink("..data/a.yaml", join(folder, "a.yaml"));
  const found = await source();
  expect(held(found)).toEqual(["a https://one.example"]);
  await change(found, async () => {
    await mkdir(join(folder, "..2"));
    await write("..2/a.yaml", upstream("a", "https://two.example"));
    await symlink("..2", join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
    await rm(join(folder, "..1"), { recursive: true });
  });
  expect(held(found)).toEqual(["a https://two.example"]);
});

test("links to folders are followed, but not in circles", async () => {
  await mkdir(join(folder, "real"));
  await write("real/a.yaml", upstream("a"));
  await symlink("..", join(folder, "real/up"));
  const found = await source();
  expect(held(found)).toEqual(["a https://example.com"]);
});

test("a malformed file is reported with its line and counts as it was before, secrets included", async () => {
  await write("a.yaml", `${upstream("a")}---\n${secret("one")}`);
  await write("b.yaml", upstream("b"));
  const found = await source();
  await change(found, () => write("a.yaml", `${upstream("a", "https://new.example")}---\nspec: [\n`));
  expect(held(found)).toEqual(["a https://example.com", "b https://example.com"]);
  expect(htpasswd(found)).toBe("one");
  expect(found.snapshot().complete).toBe(true);
  expect(problems(found)).toEqual([expect.stringMatching(/^a\.yaml:\d+: is no YAML: /)]);
  expect(log.join("\n")).toMatch(/^a\.yaml:\d+: is no YAML: .*; what counted before stays$/m);

  await change(found, () => write("b.yaml", upstream("b", "https://new.example")));
  expect(held(found)).toEqual(["a https://example.com", "b https://new.example"]);
  expect(log.filter((line) => line.startsWith("a.yaml"))).toHaveLength(1); // said once

  await change(found, () => write("a.yaml", `${upstream("a", "https://new.example")}---\n${secret("two")}`));
  expect(held(found)).toEqual(["a https://new.example", "b https://new.example"]);
  expect(htpasswd(found)).toBe("two");
  expect(problems(found)).toEqual([]);
  expect(log.at(-1)).toMatch(/^mended: a\.yaml:\d+/);
});

test("malformed from the beginning: what can be read counts, and nothing counts as removed", async () => {
  await write("a.yaml", `${upstream("a")}---\nkind: Upstreem\napiVersion: wharfinger.dev/v1alpha1\nmetadata: {name: x}\n`);
  const found = await source();
  expect(held(found)).toEqual(["a https://example.com"]);
  expect(problems(found)).toEqual([expect.stringMatching(/^a\.yaml:\d+: kind: .*did you mean Upstream\?$/)]);
  expect(found.snapshot().complete).toBe(false);
  await change(found, () => write("a.yaml", upstream("a")));
  expect(found.snapshot()).toMatchObject({ complete: true, problems: [] });
});

test("the same resource twice: the file that was there first counts, whatever their names", async () => {
  await write("z.yaml", upstream("a", "https://first.example"));
  const found = await source();
  await change(found, () => write("a.yaml", upstream("a", "https://copy.example")));
  expect(held(found)).toEqual(["a https://first.example"]);
  expect(problems(found)).toEqual([expect.stringMatching(/^a\.yaml:1: Upstream default\/a is already in z\.yaml:1/)]);
  await change(found, () => unlink(join(folder, "z.yaml")));
  expect(held(found)).toEqual(["a https://copy.example"]);
  expect(problems(found)).toEqual([]);
});

test("a folder that went away takes nothing with it", async () => {
  await mkdir(join(folder, "inner"));
  await write("inner/a.yaml", upstream("a"));
  const found = await source();
  await change(found, () => rename(folder, `${folder}.away`));
  expect(held(found)).toEqual(["a https://example.com"]);
  expect(found.snapshot().complete).toBe(false);
  expect(problems(found)).toEqual([`${folder}:: cannot be read (ENOENT)`]);
  await change(found, () => rename(`${folder}.away`, folder));
  expect(found.snapshot()).toMatchObject({ complete: true, problems: [] });
});

test("too large, and a link to nothing", async () => {
  await write("large.yaml", `# ${"x".repeat(4 * 1024 * 1024)}\n`);
  await symlink("nowhere", join(folder, "dangling.yaml"));
  const found = await source();
  expect(problems(found)).toEqual(["dangling.yaml:: cannot be read (ENOENT)", "large.yaml:: is larger than 3 MiB: split it"]);
  expect(found.snapshot().complete).toBe(false);
});

test("no such folder", async () => {
  const missing = join(folder, "missing");
  await expect(openFolderSource(missing, { logger: pino({ level: "silent" }) })).rejects.toThrow(
    `The configuration folder ${missing} is not a folder. Make it, or name another one with --config.`,
  );
});
