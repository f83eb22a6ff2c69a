// What keeps a node apart from the machine (test/support/node/enclosure.ts) hides what happens in it, and goes with the process that made it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { unified } from "../support/node/cgroups.ts";
import { createEnclosure } from "../support/node/enclosure.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "wharfinger-node-"));

test("what is written to /etc and /var, mounted or shared in it is not seen by the machine", async () => {
  const enclosure = await createEnclosure(await newFolder());
  onTestFinished(() => enclosure.remove());
  const mark = basename(enclosure.folder);
  await enclosure.run(["sh", "-c", `touch /etc/${mark} /var/lib/${mark} && mkdir /run/shared && mount -t tmpfs ${mark} /run/shared`]);
  expect(await enclosure.run(["cat", "/proc/self/mountinfo"])).toMatch(new RegExp(`/run/shared .* shared:\\d+ - tmpfs ${mark}`));
  for (const folder of ["/etc", "/var/lib"]) expect(existsSync(join(folder, mark))).toBe(false);
  expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(mark);
});

test("nothing is left of it when the process that made it is killed", async () => {
  const folder = await newFolder();
  const support = resolve(import.meta.dirname, "../support/node/enclosure.ts");
  const script = `const { createEnclosure } = await import(${JSON.stringify(support)});
    const { launch, name } = await createEnclosure(${JSON.stringify(folder)});
    // Whose parent is gone, as that of a container is.
    launch("orphans", "/bin/sh", ["-c", "setsid sleep 600 & setsid sleep 600 &"]);
    console.log(name);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const name = said.toString().trim();
  const group = join(unified() ?? "", name);
  expect([existsSync(group), existsSync(`/sys/class/net/${name}`)]).toEqual([true, true]);
  child.kill("SIGKILL");
  await eventually(() => {
    expect([folder, group, `/sys/class/net/${name}`].filter((path) => existsSync(path))).toEqual([]);
  });
});
