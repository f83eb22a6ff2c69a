// What others named and wrote, as every subcommand shows it: nobody writes to the terminal of who reads it, nor a line that looks like ours.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { parse } from "yaml";

import { run as runProgram } from "./program.ts";

/** A title for the window, a colour, the eight bit form of a command, and a line of its own. */
const evil = "a\u001b]0;pwned\u0007\u001b[31mFAKE\u009b2J\u007f\nEverything holds.";
const shown = "a\u{fffd}]0;pwned\u{fffd}\u{fffd}[31mFAKE\u{fffd}2J\u{fffd} Everything holds.";
const obeyed = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

const digest = `sha256:${"a".repeat(64)}`;
const condition = { type: "Ready", status: "False", reason: evil, message: evil, lastTransitionTime: evil, observedGeneration: 1 };
const view = {
  kind: "Upstream",
  namespace: "default",
  name: "hub",
  generation: 1,
  source: evil,
  status: { conditions: [condition], details: { [evil]: evil, list: [{ [evil]: evil }] } },
};
const planned = { repository: evil, tag: evil, digest, verdict: "delete", rule: evil, reason: evil, version: false, bytes: 1 };
const controlPlane = {
  problems: [{ file: evil, message: evil }],
  warnings: [],
  orphans: [evil],
  waiting: [evil],
  otherInstallation: evil,
  sourceProblems: [{ source: evil, line: 1, message: evil }],
};
const answers: Readonly<Record<string, unknown>> = {
  "/api/v1/resources": [view],
  "/api/v1/record": { revision: null, publishedAt: null, pods: [{ id: evil, revision: null, seenAt: evil }], controlPlane },
  "/api/v1/versions/hub/app": {
    repository: evil,
    policy: evil,
    revision: evil,
    commits: {},
    refused: [{ repository: "hub/app", sourceTag: evil, digest, outcome: evil, message: evil }],
    ledger: { image: evil, builds: [], tags: {}, pinned: { "1": { digest, by: evil, reason: evil } }, retired: {} },
  },
  "/api/v1/retention/default/all/plan": {
    id: evil,
    policy: evil,
    action: "Delete",
    createdAt: evil,
    entries: [planned],
    totals: { kept: 0, deleted: 1, bytes: 1 },
    notes: [evil],
    blocked: { reason: "LimitExceeded", message: evil },
  },
  "/api/v1/audit": {
    report: {
      deep: false,
      checked: { repositories: 1, manifests: 1, blobs: 1, objects: 1, bytes: 1, hashed: 1 },
      findings: [{ invariant: 1, subject: evil, message: evil, repaired: evil }],
    },
  },
  "/api/v1/adopt": {
    report: { objects: 1, adopted: [{ digest, key: evil }], forgotten: [evil], lost: [], unknown: { objects: 0, bytes: 0, keys: [] } },
  },
  "/api/v1/backup": [{ name: evil, takenAt: "2026-11-21T12:00:00.000Z", reason: evil, rows: 1, bytes: 1 }],
  "/api/v1/delete": {
    repository: evil,
    deleted: [{ digest, tags: [evil] }],
    trash: [],
    kept: [{ digest, holders: [evil] }],
    swept: 0,
    bytes: 0,
    waiting: 0,
  },
};

let folder: string;
let url: string;
let server: Server;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-strangers-"));
  server = createServer((request, response) => {
    const answer = answers[request.url ?? ""];
    const error = { errors: [{ code: "DENIED", message: evil }] };
    response.writeHead(answer === undefined ? 403 : 200, { "content-type": "application/json" }).end(JSON.stringify(answer ?? error));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close().closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: "", stderr: "" };
  vi.stubEnv("WHARFINGER_TOKEN", "token");
  for (const stream of ["stdout", "stderr"] as const)
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    });
  try {
    const code = await runProgram(args);
    return { code, ...written };
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    process.exitCode = undefined;
  }
}

test.each([
  ["get"],
  ["get upstream default/hub"],
  ["record status"],
  ["explain hub/app:1"],
  ["plan default/all"],
  ["audit"],
  ["audit --adopt"],
  ["backup list"],
  ["delete hub/app:1"],
])("%s", async (words) => {
  const { stdout, stderr } = await run(...words.split(" "), "--registry", url);
  expect(stdout + stderr).not.toMatch(obeyed);
  expect(stdout + stderr).toContain(shown);
  expect(stdout + stderr).not.toMatch(/^Everything holds/m);
});

test("what a registry refuses, in its own lines", async () => {
  const { code, stdout, stderr } = await run("restore", "hub/app:1", "--registry", url);
  expect([code, stdout, stderr]).toEqual([1, "", `${shown.replace(" Every", "\nEvery")}\n`]);
});

test.each([
  ["json", JSON.parse],
  ["yaml", parse],
] as const)("-o %s loses nothing and is as harmless", async (form, read) => {
  const { stdout } = await run("plan", "default/all", "-o", form, "--registry", url);
  expect(stdout).not.toMatch(obeyed);
  expect((read as (text: string) => unknown)(stdout)).toEqual(answers["/api/v1/retention/default/all/plan"]);
});

test("validate: names of files and what is in them", async () => {
  const resources = join(folder, "resources");
  await mkdir(resources);
  await writeFile(join(resources, `a\u001b]0;pwned\u0007.yaml`), JSON.stringify({ apiVersion: "wharfinger.dev/v1alpha1", kind: evil }));
  const { code, stdout, stderr } = await run("validate", resources);
  expect([code, stdout + stderr]).toEqual([1, expect.stringContaining("a\u{fffd}]0;pwned\u{fffd}.yaml")]);
  expect(stdout + stderr).not.toMatch(obeyed);
});

test("import: names in the source and what the registry says of them", async () => {
  const repositories = join(folder, "old/repositories");
  for (const name of [evil, "good"]) await mkdir(join(repositories, name, "_manifests/tags"), { recursive: true });
  const { code, stdout, stderr } = await run("import", join(folder, "old"), "--registry", url);
  expect(code).toBe(1);
  expect(stderr).toContain(`${shown}: name: ${shown} is not a name that a repository can have here`);
  expect(stderr).toContain(`good: refused: good: ${shown}`);
  expect(stdout + stderr).not.toMatch(obeyed);
});
