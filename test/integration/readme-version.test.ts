// "A version for `latest`" of the README, as it stands: its snippet beside the quickstart, an image that is signed with a key of one's own.

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

import { createCosignKey, slsaProvenance } from "../support/cosign.ts";
import { startDistribution } from "../support/distribution.ts";
import { answerTo } from "../support/eventually.ts";
import { pushImage } from "../support/images.ts";
import { use } from "../support/programs.ts";
import { startStandalone } from "../support/standalone.ts";

const root = resolve(import.meta.dirname, "../..");

test("the README's TagPolicy gives the image its version", { timeout: 180_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-readme-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const upstream = await startDistribution();
  stack.defer(() => upstream.stop());
  const key = await createCosignKey();
  stack.defer(() => key.remove());

  const digest = await pushImage({ reference: `${upstream.host}/acme/app:latest`, content: "app 1.2.3-r0" });
  await key.attest(`${upstream.host}/acme/app@${digest}`, "slsaprovenance1", slsaProvenance({ app: "1.2.3-r0" }));

  const config = join(folder, "config");
  await cp(join(root, "examples/quickstart"), config, { recursive: true });
  const upstreams = join(config, "upstreams.yaml");
  // The only thing that is not as it was written: ghcr.io is a registry of our own.
  await writeFile(upstreams, (await readFile(upstreams, "utf8")).replace("url: https://ghcr.io", `url: ${upstream.url}\n  insecure: true`));
  const [, snippet = ""] = /^```yaml\n(apiVersion:[^]*?)^```$/m.exec(await readFile(join(root, "README.md"), "utf8")) ?? [];
  const publicKey = key.publicKey.trim().replaceAll("\n", "\n    ");
  await writeFile(join(config, "app.yaml"), snippet.replace(/-----BEGIN PUBLIC KEY-----[^]*?-----END PUBLIC KEY-----/, publicKey));

  const wharfinger = await startStandalone({ config });
  stack.defer(async () => void (await wharfinger.stop()));
  const pulled = async () => {
    const answer = await fetch(`${wharfinger.url}/v2/ghcr/acme/app/manifests/1.2.3`);
    return answer.status === 200 ? answer.headers.get("docker-content-digest") : undefined;
  };
  expect(await answerTo("the version", pulled, { context: () => wharfinger.logs().slice(-4000) })).toBe(digest);

  const explained = await wharfinger.cli(["explain", "ghcr/acme/app:1.2.3"]);
  const record = join(wharfinger.data, "record");
  const commit = await use("git", ["-C", record, "log", "-1", "--format=%H", "--grep", "versions ghcr/acme/app: 1.2.3-r0"]);
  expect([explained.code, explained.stdout]).toEqual([0, expect.stringContaining(`  record     ${commit.slice(0, 7)}\n`)]);

  await use("git", ["-C", record, "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "revert", "--no-edit", commit]);
  await answerTo("out of service", async () => ((await pulled()) === undefined ? true : undefined));
});
