// How many git processes one changed file costs: each takes milliseconds and memory of a machine that serves pulls meanwhile.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";

let world: World;
let calls: string;
const path = process.env["PATH"];

/** A git in front of the real one that notes what it is asked, without its options. */
beforeAll(async () => {
  world = await World.create();
  calls = join(world.folder, "calls");
  const git = execFileSync("sh", ["-c", "command -v git"], { encoding: "utf8" }).trim();
  const programs = join(world.folder, "bin");
  mkdirSync(programs);
  writeFileSync(
    join(programs, "git"),
    `#!/bin/sh\nfor word in "$@"; do case $word in -c | *=*) ;; *) echo "$word" >>"${calls}"; break ;; esac; done\nexec "${git}" "$@"\n`,
  );
  chmodSync(join(programs, "git"), 0o755);
  process.env["PATH"] = `${programs}:${path}`;
  world.upstream("cgr");
  world.upstream("hub");
  await world.start();
});
afterAll(async () => {
  process.env["PATH"] = path;
  await world.close();
});

/** What was asked of git since the last time, in order. */
function asked(): string[] {
  const words = readFileSync(calls, "utf8").split("\n").slice(0, -1);
  writeFileSync(calls, "");
  return words;
}

/** A change that nothing records: when its condition is there, no round is under way that began before it. */
async function settle(name: string): Promise<void> {
  world.upstream(name, "  insecure: maybe\n");
  await eventually(() => expect(world.condition(`Upstream/default/${name}`, "Stalled")).toMatchObject({ status: "True" }));
}

test("one changed file: each of the steps is one process", async () => {
  await settle("before");
  asked();
  world.upstream("cgr", "  cache: {tagTTL: 1m}\n");
  await eventually(() => expect(world.condition("Upstream/default/cgr", "Ready")).toMatchObject({ status: "True" }));
  await eventually(() => expect(world.view("Upstream/default/cgr").generation).toBe(2));
  await settle("after");
  const words = asked();
  // Reading the references is what a round costs that finds nothing to do.
  expect(words.filter((word) => word !== "for-each-ref")).toEqual([
    "fast-import",
    "update-ref", // the branch
    "log",
    "ls-tree",
    "cat-file",
    "diff-tree",
    "ls-files",
    "update-index",
    "update-ref", // what is published
  ]);
});

test("a person's commit costs one more, to see that history goes on", async () => {
  const file = join(world.recordFolder, "upstreams/default/hub.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replace("tagTTL: 5m", "tagTTL: 7m"));
  asked();
  world.git("commit", "-qam", "faster");
  await eventually(() => expect(world.condition("Upstream/default/hub", "Overridden")).toMatchObject({ status: "True" }));
  await settle("later");
  const words = asked().filter((word) => word !== "for-each-ref" && word !== "commit");
  expect(words).toEqual(["merge-base", "log", "ls-tree", "cat-file", "update-ref"]);
});
