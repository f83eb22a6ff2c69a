// The image without Docker: `npm run image -- --output FILE [--platform linux/amd64,linux/arm64]` writes an OCI archive of what Dockerfile says.
// buildah runs the very Dockerfile; in place of its build image stands one of Debian's and npm's packages (build-image.mjs). Plain Node.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { exclusively } from "../bin/lock.mjs";
import { root } from "../bin/node-version.mjs";
import { ensureBuildImage } from "./build-image.mjs";
import { boundLayers, removeLeftovers } from "./earlier-builds.mjs";
import { requirePrograms, run, said } from "./programs.mjs";

const usage = `npm run image -- --output FILE [--platform linux/amd64,linux/arm64] [--reference NAME]

Writes an OCI archive with the image of this checkout, and says its digest. Push it with, for example, skopeo copy --all oci-archive:FILE docker://…`;

/** Where Debian's packages, npm's and the layers of earlier builds stay. */
export const workFolder = join(homedir(), ".cache/wharfinger/image");
export const ownPlatform = `linux/${process.arch === "x64" ? "amd64" : process.arch}`;

/**
 * Builds it into an OCI archive at `output`. Resolves with the digest of what the archive holds: the manifest of one platform, the index of several.
 * `platforms`: as OCI has them (`linux/arm64`). `reference`: its name in the archive. `revision`: the commit, for its label. `created`: seconds since
 * 1970 of all its times. `fresh`: nothing of earlier builds is used, so that Debian's packages are today's.
 */
export async function buildImage(options) {
  requirePrograms();
  return exclusively(() => build(options), {
    folder: workFolder,
    onWait: () => say("Another process is building an image; waiting for it."),
  });
}

async function build({ output, platforms, reference, revision = "", created, fresh = false }) {
  const shared = join(workFolder, "storage");
  const storage = ["--root", shared, "--runroot", join(workFolder, "running")];
  await removeLeftovers({ folder: workFolder, storage });
  const work = mkdtempSync(join(workFolder, "build-"));
  const builder = await ensureBuildImage({ storage, work });
  await boundLayers({ folder: shared, storage, kept: builder });
  const values = {
    BUILD_IMAGE: builder,
    NPM_CONFIG_REGISTRY: await said("npm", ["config", "get", "registry"]),
    VERSION: JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version,
    REVISION: revision,
  };
  // What a fresh build leaves goes with its folder; what others left is not looked at, but for the build image.
  const own = ["--root", join(work, "storage"), "--runroot", join(work, "running"), "--storage-opt", `overlay.imagestore=${shared}`];
  const buildah = (...args) => run("buildah", [...(fresh ? own : storage), ...args], { cwd: root });
  const list = `localhost/${basename(work).toLowerCase()}`;
  try {
    const same = ["--identity-label=false", `--timestamp=${created}`];
    const given = Object.entries(values).map(([name, value]) => `--build-arg=${name}=${value}`);
    // Older ones than 1.29 do not know it by themselves.
    given.push(`--build-arg=BUILDPLATFORM=${ownPlatform}`);
    const how = ["--isolation=chroot", "--pull-never", "--layers", ...(fresh ? ["--no-cache"] : [])];
    // One after the other: of several at once it takes up in the list what is ready first, and the order is part of the list's digest.
    for (const platform of platforms) await buildah("bud", ...how, ...same, ...given, `--platform=${platform}`, `--manifest=${list}`, ".");
    const layout = join(work, "layout");
    const target = `oci:${layout}:${reference}`;
    if (platforms.length > 1) await buildah("manifest", "push", "--quiet", "--all", "--format=oci", list, target);
    else {
      const { manifests } = JSON.parse(await said("buildah", [...(fresh ? own : storage), "manifest", "inspect", list]));
      await buildah("push", "--quiet", "--format=oci", `${list}@${manifests[0].digest}`, target);
    }
    await archive(layout, resolve(output), created);
    return JSON.parse(readFileSync(join(layout, "index.json"), "utf8")).manifests[0].digest;
  } finally {
    if (!fresh) await buildah("manifest", "rm", list).catch(() => {});
    rmSync(work, { recursive: true, force: true });
  }
}

/** Two archives of the same are the same. */
async function archive(layout, output, created) {
  const partial = `${output}.partial`;
  const same = ["--sort=name", `--mtime=@${created}`, "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"];
  mkdirSync(dirname(output), { recursive: true });
  await run("tar", [...same, "--create", "--file", partial, "--directory", layout, "."]);
  await run("mv", [partial, output]);
}

async function main() {
  const { values } = parseArgs({
    options: {
      output: { type: "string" },
      platform: { type: "string", default: ownPlatform },
      reference: { type: "string", default: "wharfinger:latest" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help || values.output === undefined) throw new Error(usage);
  const changed = (await said("git", ["-C", root, "status", "--porcelain", "--untracked-files=no"])) !== "";
  const commit = await said("git", ["-C", root, "rev-parse", "HEAD"]);
  const digest = await buildImage({
    output: values.output,
    platforms: values.platform.split(","),
    reference: values.reference,
    revision: changed ? `${commit}-changed` : commit,
    created: process.env.SOURCE_DATE_EPOCH ?? (await said("git", ["-C", root, "log", "-1", "--format=%ct"])),
    fresh: true,
  });
  process.stdout.write(`${digest} ${values.output}\n`);
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await main().catch((error) => {
    say(error.message);
    process.exitCode = 1;
  });
