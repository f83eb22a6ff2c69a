// A git that cannot be started, for real: a process of its own with few file descriptors, which it uses up.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { findGit, Git } from "./git.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wharfinger-git-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);

/** Runs the script with at most so many file descriptors; resolves with what it printed. */
async function withFewDescriptors(script: string): Promise<unknown> {
  const child = spawn("sh", ["-c", 'ulimit -n 128 && exec "$0" --input-type=module -e "$1"', process.execPath, script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise((resolve) => child.once("close", resolve));
  return { code, said: said === "" ? "" : (JSON.parse(said) as unknown) };
}

/** `exhaust` leaves `spare` descriptors; `relax` gives all back. */
const exhaustion = `import { closeSync, openSync } from "node:fs";
  const taken = [];
  const exhaust = (spare) => {
    try { for (;;) taken.push(openSync("/dev/null")); } catch (error) { if (error.code !== "EMFILE") throw error; }
    for (const one of taken.splice(0, spare)) closeSync(one);
  };
  const relax = () => taken.splice(0).forEach((one) => closeSync(one));`;

test.each([
  [0, "refused"],
  [5, "refused"],
  [40, "answered"],
])("with %i file descriptors to spare a call is %s, and works again afterwards", async (spare, outcome) => {
  const answer = await withFewDescriptors(`${exhaustion}
    import { findGit, Git } from ${module("./git.ts")};
    const git = new Git({ program: await findGit(), directory: ${JSON.stringify(join(folder, ".git"))} });
    exhaust(${spare});
    const first = await git.line(["version"]).then(() => "answered", ({ name, code, temporary, message, cause }) => ({ name, code, temporary, message, cause: cause.code }));
    relax();
    console.log(JSON.stringify({ first, afterwards: await git.line(["version"]) }));`);
  const refusal = {
    name: "RecordError",
    code: "GitFailed",
    temporary: true,
    message: expect.stringMatching(/\/git could not be started: this process has no file descriptors left; raise its limit \(ulimit -n\)$/),
    cause: "EMFILE",
  };
  expect(answer).toEqual({
    code: 0,
    said: { first: outcome === "refused" ? refusal : outcome, afterwards: expect.stringMatching(/^git version /) },
  });
});

test("a record that runs out of file descriptors says so, and goes on when there are some again", async () => {
  const answer = await withFewDescriptors(`${exhaustion}
    import { openRecord } from ${module("./repository.ts")};
    import { createLogger } from ${module("../observability/logger.ts")};
    const author = { name: "Wharfinger", email: "wharfinger@localhost" };
    const record = await openRecord({ folder: ${JSON.stringify(join(folder, "record"))}, author, logger: createLogger({ level: "silent" }) });
    const { head } = record.view;
    exhaust(0);
    const refused = await record.refresh().then(() => "worked", ({ code, temporary }) => ({ code, temporary }));
    const commit = { subject: "a try", body: "", trailers: [], files: [{ path: "a.yaml", content: "a: 1\\n" }] };
    const committed = await record.commit([commit]).then(() => "worked", ({ message }) => message);
    relax();
    const same = (await record.refresh()).head === head;
    await record.close();
    console.log(JSON.stringify({ refused, committed, same }));`);
  expect(answer).toEqual({
    code: 0,
    said: {
      refused: { code: "GitFailed", temporary: true },
      committed: expect.stringMatching(/no file descriptors left|EMFILE/),
      same: true,
    },
  });
});

test("a program that is not there is a RecordError", async () => {
  await findGit();
  const git = new Git({ program: join(folder, "git"), directory: folder });
  await expect(git.run(["version"])).rejects.toThrow(`${join(folder, "git")} could not be started: spawn ${join(folder, "git")} ENOENT`);
});
