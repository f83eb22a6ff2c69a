import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { digestOf } from "../domain/digest.ts";
import { FolderTree } from "./folder-tree.ts";
import type { LayoutTree } from "./layout-tree.ts";
import { RegistryLayout } from "./registry-layout.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-walk-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, "repositories", name);
const repository = (name: string) => mkdir(join(at(name), "_manifests/tags"), { recursive: true });

async function walked() {
  const source = await RegistryLayout.open(new FolderTree(folder));
  const found: string[] = [];
  const left: string[] = [];
  for await (const name of source.repositories((path, { code, message }) => left.push(`${code} ${path}: ${message}`))) {
    found.push(name);
    if (found.length > 1000) throw new Error("there is no end of it");
  }
  return { found: found.sort(), left: left.sort() };
}

test("links back to a folder that they lie in are named, and the others go on", async () => {
  await repository("a");
  await symlink(".", at("b"));
  await symlink("..", at("a/up"));
  await symlink("self", at("self"));
  const { found, left } = await walked();
  expect(found).toEqual(["a"]);
  expect(left).toEqual([
    `BrokenLink a/up: repositories/a/up is a link to a folder that it lies in`,
    `BrokenLink b: repositories/b is a link to a folder that it lies in`,
    `BrokenLink self: ${at("self")} cannot be read (ELOOP)`,
  ]);
});

test("a folder of another disk, and a second name for a team, are walked as what they are called", async () => {
  await mkdir(join(folder, "disk/_manifests"), { recursive: true });
  await repository("team/app");
  await symlink(join(folder, "disk"), at("linked"));
  await symlink("team", at("also"));
  await symlink("nowhere", at("dangling"));
  expect(await walked()).toEqual({ found: ["also/app", "linked", "team/app"], left: [] });
});

test("links that multiply come to an end, and so do names", async () => {
  const levels = 12;
  for (let level = 0; level < levels; level++) {
    await mkdir(join(folder, `level${level}`));
    for (const name of ["l", "r"]) await symlink(`../level${level + 1}`, join(folder, `level${level}`, name));
  }
  await mkdir(join(folder, `level${levels}`, "app/_manifests"), { recursive: true });
  await repository("good");
  await symlink("../level0", at("many"));
  const long = Array.from({ length: 40 }, () => "segment").join("/");
  await repository(long);
  const { found, left } = await walked();
  expect(found.filter((name) => name.endsWith("/app"))).toHaveLength(8);
  expect(found).toContain("good");
  // Told once, not for everything below it.
  expect(found.filter((name) => name.startsWith("segment"))).toHaveLength(1);
  expect(left[0]).toMatch(/^BrokenLink many\/.*: repositories\/.* is the same folder as 8 others/);
  expect(left.length).toBeLessThan(200);
});

test("a tag that is a link in a circle costs its repository nothing", async () => {
  await repository("a");
  await mkdir(join(at("a/_manifests/tags/good/current")), { recursive: true });
  await writeFile(join(at("a/_manifests/tags/good/current/link")), digestOf("x"));
  await symlink("loop", at("a/_manifests/tags/loop"));
  const source = await RegistryLayout.open(new FolderTree(folder));
  expect([...((await source.tags("a")) ?? [])].sort()).toEqual(["good", "loop"]);
  expect(await source.resolve("a", "good")).toBe(digestOf("x"));
  await expect(source.resolve("a", "loop")).rejects.toMatchObject({ code: "BrokenLink" });
});

test("over a slow line folders are looked into together, and so are the two files of a manifest", async () => {
  const names = Array.from({ length: 40 }, (_, index) => `r${index}`);
  let asked = 0;
  let most = 0;
  const { promise: bytesAsked, resolve: askedForBytes } = Promise.withResolvers<void>();
  const tree: LayoutTree = {
    name: "slow",
    place: async (path) => path,
    folders: async (path) => {
      most = Math.max(most, ++asked);
      await new Promise((resolve) => setImmediate(resolve));
      asked--;
      if (path === "repositories") return names;
      return path === "" ? ["repositories"] : path.endsWith("/tags") ? [] : ["_manifests", "_layers"];
    },
    // Answers only when the bytes were asked for, too.
    has: async () => {
      await bytesAsked;
      return false;
    },
    read: async () => {
      askedForBytes();
      throw new Error("not told: the link is gone");
    },
    open: async () => undefined,
    close: async () => {},
  };
  const source = await RegistryLayout.open(tree);
  const found: string[] = [];
  for await (const name of source.repositories(() => {})) found.push(name);
  expect(found.sort()).toEqual(names.sort());
  expect(most).toBe(16);
  expect(await source.manifest("r1", digestOf("x"))).toBeUndefined();
});
