// The key that signs the record's commits, out of a Secret of the cluster, with a real operator: missing, unusable, rotated, taken away.

import { mkdtempSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";
import { createSshKey, type SshKey } from "../support/ssh-keys.ts";

let world: OperatorWorld;
let [first, second, encrypted]: SshKey[] = [];
/** The operator's TMPDIR. */
let temporary: string;

beforeAll(async () => {
  world = await OperatorWorld.open();
  [first, second, encrypted] = await Promise.all([createSshKey(), createSshKey(), createSshKey({ passphrase: "canary-phrase" })]);
  temporary = mkdtempSync(join(world.folder, "tmp-"));
});
afterAll(() => world?.close());

const start = (namespace = world.namespace) =>
  world.startOperator({
    settings: { record: { signing: { secretRef: { namespace, name: "signing" } } } },
    env: { TMPDIR: temporary },
  });
const upstream = (tagTTL: string) => offlineUpstream({ fields: `, cache: {tagTTL: ${tagTTL}}` });
const hasKey = (identity: string | undefined) =>
  world.apply(`
apiVersion: v1
kind: Secret
metadata: {name: signing}
data: {${identity === undefined ? "other: eA==" : `identity: ${Buffer.from(identity).toString("base64")}`}}
`);
const says = (reason: string, why: string, type = "Recorded") =>
  eventually(async () => {
    const message = expect.stringContaining(why) as string;
    expect(await world.condition("Upstream", "chainguard", type)).toMatchObject({ status: "False", reason, message });
    expect(world.operator?.logs()).toContain(why);
  });
/** `<verdict of git> <subject>` of each commit, the newest first. */
function judged(...keys: readonly (SshKey | undefined)[]): readonly string[] {
  const file = join(world.folder, "allowed-signers");
  writeFileSync(file, keys.map((key) => `somebody@example.org ${key?.publicKey ?? ""}\n`).join(""));
  return world.git("-c", `gpg.ssh.allowedSignersFile=${file}`, "log", "--format=%G? %s").split("\n");
}
const generation = (number: number) => `upstream ${world.namespace}/chainguard: generation ${number}`;

test("a record that begins without its key: nothing is committed, and what is wrong with the Secret is said until it is right", async () => {
  await start();
  await world.apply(upstream("1m"));
  await says("SigningFailed", `Secret ${world.namespace}/signing (record.signing.secretRef): there is no such Secret: create it`);
  await hasKey(undefined);
  await says("SigningFailed", "it has no key identity: an SSH private key without a passphrase");
  await hasKey(first?.publicKey);
  await says("SigningFailed", "its key identity is no SSH private key");
  await hasKey(encrypted?.privateKey);
  await says("SigningFailed", "passphrase");
  await says("SigningFailed", "passphrase", "Ready");
  expect(world.git("for-each-ref", "refs/heads")).toBe("");
  await hasKey(first?.privateKey);
  await world.hasCondition("Ready", "upstream/chainguard");
  expect(judged(first)).toEqual([`G ${generation(1)}`, "G record: begins"]);
});

test("another key counts from the next commit on, without a restart; no other user may read it", async () => {
  await hasKey(second?.privateKey);
  await world.apply(upstream("2m"));
  await world.becomes("upstream/chainguard", "{.status.recordedGeneration}", "2");
  expect(judged(second)).toEqual([`G ${generation(2)}`, `U ${generation(1)}`, "U record: begins"]);
  const folders = readdirSync(temporary).filter((name) => name.startsWith("wharfinger-git-"));
  expect(folders.map((name) => statSync(join(temporary, name)).mode & 0o777)).toEqual([0o700]);
  const [folder = ""] = folders;
  expect(statSync(join(temporary, folder, "identity")).mode & 0o777).toBe(0o600);
});

test("a key that is taken away while it runs: what is published is served on, and what waits is committed with the next key", async () => {
  await world.kubectl(["delete", "secret/signing"]);
  await world.apply(upstream("3m"));
  await says("SigningFailed", "there is no such Secret: create it");
  expect(await world.control.record()).toMatchObject({ revision: world.git("rev-parse", "wharfinger") });
  expect(judged(first, second)).toHaveLength(3);
  await hasKey(first?.privateKey);
  await world.becomes("upstream/chainguard", "{.status.recordedGeneration}", "3");
  expect(judged(first, second).map((line) => line.slice(0, 1))).toEqual(["G", "G", "G", "G"]);
});

test("where no file can be written for git, that is said", async () => {
  await world.operator?.stop();
  temporary = join(world.folder, "is-not-there");
  await start();
  await world.apply(upstream("4m"));
  await says("SigningFailed", `${temporary} takes no files (ENOENT)`);
  expect(judged(first, second)).toHaveLength(4);
});

test("a Secret of a namespace that is not watched is not called missing", async () => {
  await world.operator?.stop();
  await start("elsewhere");
  await says("SigningFailed", `this operator does not watch namespace elsewhere (it watches ${world.namespace})`);
  expect(world.operator?.logs()).not.toMatch(/canary|PRIVATE KEY/);
});
