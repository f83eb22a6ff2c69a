// What builds leave for the next one is bounded, and what killed builds left goes. Plain Node; called while no other build runs.
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { said } from "./programs.mjs";

/** Mebibytes. The layers of one build are about a third of it; each change of the program adds some dozens. */
const usual = 3072;

/** Folders and containers of builds that were killed: they were mounted, perhaps. */
export async function removeLeftovers({ folder, storage }) {
  const left = readdirSync(folder).filter((name) => name.startsWith("build-"));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((place) => left.some((name) => place.startsWith(join(folder, name, "/"))));
  for (const place of mounts.toReversed()) await said("umount", ["--lazy", place]);
  for (const name of left) rmSync(join(folder, name), { recursive: true, force: true });
  if ((await said("buildah", [...storage, "containers", "--quiet"])) !== "") await said("buildah", [...storage, "rm", "--all"]);
}

/** When there is too much of it, everything but `kept`, an image's name, goes. `limit`: in mebibytes. */
export async function boundLayers({ folder, storage, kept, limit = usual }) {
  const [size] = (await said("du", ["-s", "--block-size=1M", folder])).split("\t");
  if (Number(size) <= limit) return;
  const list = async (...filter) => (await said("buildah", [...storage, "images", "--quiet", "--no-trunc", ...filter])).split("\n");
  const [own] = await list("--filter", `reference=${kept}`);
  const others = (await list()).filter((id) => id !== "" && id !== own);
  if (others.length > 0) await said("buildah", [...storage, "rmi", "--force", ...others]);
  // Those without a name.
  await said("buildah", [...storage, "rmi", "--prune", "--force"]);
}
