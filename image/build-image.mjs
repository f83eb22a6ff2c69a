// What the Dockerfile is built with where no registry can be asked: Debian's packages from the mirror that this machine has, the Node of
// package-lock.json, npm. Plain Node.
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { root } from "../bin/node-version.mjs";
import { run, said } from "./programs.mjs";

const suite = "trixie";
const npm = "npm@11.19.1";
const node = `node-linux-${process.arch}`;
const authorities = "/etc/ssl/certs/ca-certificates.crt";

/** Resolves with the name of the image in buildah's `storage`, made once for what it is made of. `work`: a folder for what is only needed meanwhile. */
export async function ensureBuildImage({ storage, work }) {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const wanted = packages[`node_modules/${node}`].version;
  const sources = await debianSources();
  const recipe = join(root, "image/build-image.Dockerfile");
  const inputs = [suite, npm, wanted, ...sources, readFileSync(recipe, "utf8"), trusted()];
  const name = `localhost/wharfinger-build-image:${createHash("sha256").update(inputs.join("\0")).digest("hex").slice(0, 20)}`;
  if ((await said("buildah", [...storage, "images", "--quiet", "--filter", `reference=${name}`])) !== "") return name;
  const folder = mkdtempSync(join(work, "build-image-"));
  try {
    const added = join(folder, "added/usr/local");
    for (const place of ["bin", "share"]) mkdirSync(join(added, place), { recursive: true });
    writeFileSync(join(folder, "sources.list"), `${sources.join("\n")}\n`);
    const debian = ["--variant=apt", "--include=ca-certificates", suite, join(folder, "debian.tar"), join(folder, "sources.list")];
    await run("mmdebstrap", ["--quiet", ...debian]);
    await run("npm", ["install", "--silent", "--no-save", "--prefix", folder, `${node}@${wanted}`]);
    copyFileSync(join(folder, "node_modules", node, "bin/node"), join(added, "bin/node"));
    chmodSync(join(added, "bin/node"), 0o755);
    await run("npm", ["install", "--silent", "--global", "--prefix", added, npm]);
    writeFileSync(join(added, "share/authorities.crt"), trusted());
    await run("buildah", [...storage, "bud", "--isolation=chroot", "--quiet", `--file=${recipe}`, `--tag=${name}`, folder]);
    return name;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The mirrors of this machine, where it is a Debian. */
async function debianSources() {
  const format = ["--format", "$(ORIGIN) $(LABEL) $(SITE)", "Created-By: Packages"];
  const known = (await said("apt-get", ["indextargets", ...format])).split("\n");
  const mirror = (label, otherwise) =>
    known
      .find((line) => line.startsWith(`Debian ${label} `))
      ?.split(" ")
      .at(-1) ?? otherwise;
  const debian = mirror("Debian", "http://deb.debian.org/debian");
  return [
    `deb ${debian} ${suite} main`,
    `deb ${debian} ${suite}-updates main`,
    `deb ${mirror("Debian-Security", "http://deb.debian.org/debian-security")} ${suite}-security main`,
  ];
}

/** Whom this machine trusts: between it and npm may be somebody whom only it knows. */
function trusted() {
  return existsSync(authorities) ? readFileSync(authorities, "utf8") : "";
}
