// deploy/kind/README.md, word by word: each of its commands, in its order, on a cluster in Docker (`npm run test:e2e:kind`).

import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { commandsOf, runCommands, type Place } from "../support/page-commands.ts";
import { program } from "../support/programs.ts";
import { tool } from "../support/tools.ts";

const root = resolve(import.meta.dirname, "../..");
const blocks = await commandsOf(join(root, "deploy/kind/README.md"));

let place: Place;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-kind-"));
  const bin = join(folder, "bin");
  // Of its own: nobody's current context changes.
  const environment = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, KUBECONFIG: join(folder, "kubeconfig") };
  place = { folder, environment };
  await symlink(join(root, "charts"), join(folder, "charts"));
  // Docker mounts it.
  await cp(join(root, "deploy/kind"), join(folder, "deploy/kind"), { recursive: true });
  await mkdir(bin);
  for (const name of ["kubectl", "helm"] as const) await symlink(await tool(name), join(bin, name));
  await makeArchive(join(folder, "wharfinger.tar"));
});
afterAll(async () => {
  // Also of a run that failed in the middle.
  await program("kind", ["delete", "cluster", "--name", "wharfinger", "--kubeconfig", join(place.folder, "kubeconfig")]);
  await rm(place.folder, { recursive: true, force: true });
});

test.each(blocks.filter(({ mark }) => mark !== "yours"))("$named", async (block) => {
  const { code, stdout, stderr } = await runCommands(block, place);
  const pods = code === 0 ? "" : (await program("kubectl", ["describe", "pods", "--all-namespaces"], { env: place.environment })).stdout;
  expect({ code, said: code === 0 ? "" : `${stdout}${stderr}${pods}` }).toEqual({ code: 0, said: "" });
});

/** As root on Linux by `npm run image`, elsewhere by Docker's builder. */
async function makeArchive(file: string): Promise<void> {
  const reference = "localhost/wharfinger:kind";
  const own = process.platform === "linux" && process.getuid?.() === 0;
  const [command, ...args] = own
    ? (["npm", "run", "-s", "image", "--", "--output", file, "--reference", reference] as const)
    : (["docker", "buildx", "build", "--tag", reference, "--output", `type=docker,dest=${file}`, "."] as const);
  const { code, stderr } = await program(command, args, { cwd: root, timeout: 890_000 });
  if (code !== 0) throw new Error(stderr);
}
