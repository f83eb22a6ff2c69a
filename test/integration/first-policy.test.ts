// "The first users and the first policy" of docs/guides/several-processes.md, as it stands: its request, on processes that begin with nothing.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { hash } from "bcryptjs";
import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { createDatabase } from "../support/postgres.ts";
import { program } from "../support/programs.ts";
import { startRegistryProcess } from "../support/registry-process.ts";
import { processToken, type ServingProcess } from "../support/serving-process.ts";

const page = resolve(import.meta.dirname, "../../docs/guides/several-processes.md");
const login = { authorization: `Basic ${Buffer.from("ci:a long password").toString("base64")}` };
const stack = new AsyncDisposableStack();
let registry: ServingProcess;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-first-policy-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const database = await createDatabase();
  stack.defer(() => database.drop());
  const secrets = join(folder, "secrets");
  await mkdir(secrets);
  await writeFile(join(secrets, "default_wharfinger-users_htpasswd"), `ci:${await hash("a long password", 10)}\n`);
  registry = await startRegistryProcess({
    settings: { database: { url: database.url }, storage: { folder: join(folder, "blobs") } },
    args: ["--secrets", secrets],
    open: false,
  });
  stack.defer(async () => void (await registry.stop()));
});
afterAll(() => stack.disposeAsync());

const upload = (repository: string) =>
  fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, { method: "POST", headers: login }).then(({ status }) => status);

const get = (env: Readonly<Record<string, string>>) =>
  program(process.execPath, [resolve(import.meta.dirname, "../../src/cli/main.ts"), "get"], { env });

test("what the page sends lets its user in, and nowhere else", async () => {
  expect(await upload("team-a/app")).not.toBe(202);
  const [, command = ""] = /^(curl --fail-with-body[^]*?\n}')$/m.exec(await readFile(page, "utf8")) ?? [];
  const env = { WHARFINGER_REGISTRY: registry.url, WHARFINGER_TOKEN: processToken };
  expect((await get(env)).stdout).toBe("No control plane reports to this registry, and it serves no resources (no revision yet).\n");
  expect(await program("bash", ["-c", command], { env })).toMatchObject({ code: 0 });
  await eventually(async () => expect(await upload("team-a/app")).toBe(202));
  expect(await upload("team-b/app")).toBe(403);

  const got = await get(env);
  expect(got).toMatchObject({ code: 0, stderr: expect.stringContaining("No control plane reports to it") as string });
  expect(got.stdout).toMatch(/^AccessPolicy +default +\S+ +Unknown /m);
  const answer = await fetch(`${registry.url}/api/v1/resources`, { headers: { authorization: `Bearer ${processToken}` } });
  expect(await answer.json()).toEqual([
    {
      kind: "AccessPolicy",
      namespace: "default",
      name: expect.any(String) as string,
      generation: 1,
      spec: expect.objectContaining({ actions: expect.any(Array) as string[] }) as object,
      status: { observedGeneration: 1, recordedGeneration: 1, revision: "1", conditions: [] },
    },
  ]);
});
