// `npm run bench -- memory job`: how much memory a tag-sync job takes, started as its Pod starts it and under its Pod's limit, with the largest
// documents that it reads, of as many images as it works at.

import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { TagPolicySpec } from "../../src/api/kinds.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { attestationTag } from "../../src/jobs/attestation/discovery.ts";
import { attach, envelope, statement } from "../support/attachments.ts";
import { embeddedDatabase } from "../chaos/cluster-database.ts";
import { spdxDocument } from "../support/cosign.ts";
import { startDistribution } from "../support/distribution.ts";
import { createHandOperator } from "../support/hand-operator.ts";
import { pushImage } from "../support/images.ts";
import { upstreamSpec } from "../support/proxy.ts";
import { adminToken, startTestRegistry } from "../support/registry.ts";
import { createTokenCluster } from "../support/token-cluster.ts";
import { limitedGroup } from "./limited.ts";

const program = resolve(import.meta.dirname, "../../dist/cli/main.js");
/** Bytes: that of `jobs.resources`. */
const limit = 512 * 1024 ** 2;
/** Bytes of a statement: base64 of it, in an envelope, is not quite the 32 MiB that a document may have. */
const room = 23.9 * 1024 ** 2;
const predicateType = "https://spdx.dev/Document";

/** SPDX of `bytes`, filled with elements of this form. */
function sbom(name: string, fill: (number: number) => unknown, bytes: number): object {
  const one = JSON.stringify(fill(100_000)).length + 1;
  const files = Array.from({ length: Math.floor(bytes / one) }, (_, number) => fill(number));
  return { ...(spdxDocument({ [name]: "1.2.3-r4" }) as object), files };
}

const file = (number: number) => ({
  SPDXID: `SPDXRef-File-${number}`,
  fileName: `usr/lib/python3.13/site-packages/package/module_${number}.py`,
  checksums: [{ algorithm: "SHA1", checksumValue: (number * 7919).toString(16).padStart(40, "0") }],
  licenseConcluded: "NOASSERTION",
  licenseInfoInFiles: ["NOASSERTION"],
  copyrightText: "NOASSERTION",
});

/** Ten that no other element has. */
const names = (number: number) => Object.fromEntries(Array.from({ length: 10 }, (_, digit) => [`${number.toString(36)}-${digit}`, 0]));

const shapes = [
  ["4 images, SBOMs of a MiB", 4, 1, file, 1024 ** 2],
  ["1 image, an SBOM of 32 MiB", 1, 1, file, room],
  ["4 images, SBOMs of 32 MiB", 4, 1, file, room],
  ["1 image with 6 of them", 1, 6, file, room],
  ["4 images, SBOMs of nothing but values", 4, 1, () => ({}), 2.9e6],
  ["4 images, SBOMs of nothing but texts", 4, 1, (number: number) => number.toString(36).padStart(10, "-"), room],
  ["4 images, SBOMs of nothing but names", 4, 1, names, room],
] as const;

export async function benchJob(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bench-job-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const database = await embeddedDatabase(join(folder, "postgres"));
  stack.defer(() => database.stop());
  const upstream = await startDistribution();
  stack.defer(() => upstream.stop());
  const group = await limitedGroup(limit);
  stack.defer(() => group.remove());
  const cluster = await createTokenCluster();
  const registry = await startTestRegistry({ database: { url: database.url() }, settings: cluster.settings });
  stack.defer(() => registry.stop());
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  registry.secrets.set("default", "keys", { "cosign.pub": publicKey.export({ type: "spki", format: "pem" }).toString() });
  const control = new ControlClient({ url: registry.url, token: adminToken });
  stack.defer(() => control.close());
  const operator = createHandOperator(control);
  stack.defer(() => operator.stop());

  process.stdout.write("| documents | of the job at the most, MiB | processor, s | it ends with |\n|---|---|---|---|\n");
  for (const [index, [name, images, documents, fill, bytes]] of shapes.entries()) {
    const repositories = Array.from({ length: images }, (_, image) => `shape-${index}/app-${image}`);
    for (const repository of repositories) {
      const digest = await pushImage({ reference: `${upstream.host}/${repository}:latest`, content: repository });
      const layers = Array.from({ length: documents }, (_, number) => {
        const document = { ...sbom("app", fill, bytes), comment: `document ${number}` };
        return {
          bytes: Buffer.from(JSON.stringify(envelope(JSON.stringify(statement(digest, predicateType, document)), privateKey))),
          predicateType,
        };
      });
      await attach(upstream.url, repository, attestationTag(digest), layers);
    }
    await operator.apply([
      {
        kind: "Upstream",
        name: "up",
        generation: 1,
        spec: upstreamSpec(upstream.url, "up", { timeouts: { firstByte: "60s", idle: "60s" } }),
      },
      { kind: "TagPolicy", name: `images-${index}`, generation: 1, spec: policy(repositories) },
    ]);
    if (index === 0) operator.start();
    const { pod, token } = await cluster.podToken();
    await writeFile(join(folder, "token"), token);
    await control.startRun({ kind: "tag-sync", policy: `default/images-${index}`, trigger: "schedule", pod });
    const own = ["job", "tag-sync", "--own-run", "--policy", `default/images-${index}`, "--registry", registry.url];
    const { most, seconds, words } = await run(group.command([process.execPath, program, ...own, "--token-file", join(folder, "token")]));
    process.stdout.write(`| ${name} | ${(most / 2 ** 20).toFixed(0)} | ${seconds.toFixed(1)} | ${words} |\n`);
  }
}

function policy(repositories: readonly string[]): TagPolicySpec {
  return {
    upstreamRef: { name: "up" },
    images: repositories.map((repository) => ({ repository, package: "app" })),
    sourceTags: [{ name: "latest", suffix: "" }],
    schedule: "0 0 1 1 *",
    timeZone: "Etc/UTC",
    evidence: [{ type: "SPDX" }],
    verify: { mode: "Verified", keys: [{ secretRef: { name: "keys" } }] },
    tags: ["{fullVersion}"],
    onRebuild: "Newest",
    platforms: [],
    copy: "Image",
  };
}

/** The most resident bytes, seconds of processor, and the last line or what ended it. */
async function run([program = "", ...args]: readonly string[]): Promise<{ most: number; seconds: number; words: string }> {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  let [most, seconds] = [0, 0];
  for (let over = false; !over;) {
    const [status = "", stat = ""] = await Promise.all(
      ["status", "stat"].map((name) => readFile(`/proc/${child.pid}/${name}`, "utf8").catch(() => "")),
    );
    most = Math.max(most, Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024);
    const [user = 0, system = 0] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number);
    seconds = Math.max(seconds, (user + system) / 100);
    over = await Promise.race([ended.then(() => true), sleep(20, false)]);
  }
  const [code, signal] = await ended;
  const fatal = /^FATAL ERROR: .*$/m.exec(said)?.[0];
  return { most, seconds, words: fatal ?? signal ?? (code === 0 ? said : `${code}: ${said}`).trim().split("\n").at(-1) ?? "" };
}
