// A record whose commits are signed: with real keys, judged by git.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { namedSecret } from "../../src/record/named-secret.ts";
import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { GitHost } from "../support/git-remote.ts";
import { TestSecrets } from "../support/registry.ts";
import { RemoteWorld } from "../support/remote-world.ts";
import { createSshKey, signedWith } from "../support/ssh-keys.ts";

let world: World;
let secrets: TestSecrets;
beforeEach(async () => {
  world = await World.create();
  secrets = new TestSecrets();
  world.signingKey = namedSecret({ namespace: "default", name: "signing" }, secrets);
});
afterEach(() => world.close());

const cgr = "Upstream/default/cgr";
const notPublished = /^The record is not published: No answer from the registry at http:\/\/127\.0\.0\.1:9: .*\. It is tried again\.$/;

test("while the key is missing changes wait, and what was published is served; with it they are committed, signed and served", async () => {
  const key = await createSshKey();
  secrets.set("default", "signing", { identity: key.privateKey });
  world.upstream("cgr");
  await world.start();
  secrets.set("default", "signing", undefined);
  world.upstream("cgr", "  cache: {tagTTL: 1m}\n");
  const message = "commits cannot be signed with Secret default/signing (record.signing.secretRef): there is no such Secret: create it";
  await eventually(() => expect(world.condition(cgr, "Recorded")).toMatchObject({ status: "False", reason: "SigningFailed", message }));
  expect(world.subjects()[0]).toBe("upstream default/cgr: generation 1");
  expect(await world.served(cgr)).toMatchObject({ cache: { tagTTL: "5m" } });

  secrets.set("default", "signing", { identity: key.privateKey });
  await eventually(async () => expect(await world.served(cgr)).toMatchObject({ cache: { tagTTL: "1m" } }));
  const allowed = join(world.folder, "allowed-signers");
  writeFileSync(allowed, `wharfinger@localhost ${key.publicKey}\n`);
  const judged = world.git("-c", `gpg.ssh.allowedSignersFile=${allowed}`, "log", "--format=%G? %s");
  expect(judged.split("\n")).toEqual(["G upstream default/cgr: generation 2", "G upstream default/cgr: generation 1", "G record: begins"]);
});

/** The registry signs with one key, Jane with another; only theirs are followed. */
async function onlyOurs(world: World): Promise<readonly string[]> {
  const [own, jane] = [await createSshKey(), await createSshKey()];
  secrets.set("default", "signing", { identity: own.privateKey });
  world.allowedSigners = [own, jane].map(({ publicKey }) => `somebody@example.org ${publicKey}`);
  return signedWith(jane, world.folder);
}

const file = "upstreams/default/cgr.yaml";
const tagTTL = async () => ((await world.served(cgr)) as { cache?: { tagTTL: string } } | undefined)?.cache?.tagTTL;
const setTagTTL = (from: string, to: string, ...how: readonly string[]) => {
  const path = join(world.recordFolder, file);
  writeFileSync(path, readFileSync(path, "utf8").replace(`tagTTL: ${from}`, `tagTTL: ${to}`));
  world.git(...how, "commit", "-qam", `${to} by hand`);
};
const waits = (why: string) => eventually(() => expect(world.plane?.record().waiting.join()).toContain(why));

test("a commit that no allowed signer signed is not served, over a restart too, until a person accepts it; one by an allowed signer is", async () => {
  const asJane = await onlyOurs(world);
  world.upstream("cgr");
  await world.start();
  setTagTTL("5m", "1m", ...asJane);
  await eventually(async () => expect(await tagTTL()).toBe("1m"));

  setTagTTL("1m", "9m");
  const bad = world.head();
  const says = `commit ${bad} by Jane Doe <jane@example.org> is not signed with an SSH key`;
  await waits(says);
  await waits(`npx wharfinger record accept-revision ${bad}`);
  expect(world.plane?.record().problem).toContain(says);
  world.upstream("hub");
  await eventually(() => expect(world.condition("Upstream/default/hub", "Recorded")).toMatchObject({ reason: "SignerNotAllowed" }));
  await world.stop();
  await world.start();
  await waits(says);
  expect([await tagTTL(), world.head()]).toEqual(["1m", bad]);
  expect(await world.served("Upstream/default/hub")).toBeUndefined();

  await world.record.confirm("accepted", bad);
  await eventually(async () => expect(await tagTTL()).toBe("9m"));
  await eventually(async () => expect(await world.served("Upstream/default/hub")).toBeDefined());
  await eventually(() => expect(world.plane?.record()).toMatchObject({ waiting: [], problem: undefined }));
});

test("a branch that is taken back without a key waits for a person", async () => {
  const asJane = await onlyOurs(world);
  world.upstream("cgr");
  await world.start();
  const before = world.head();
  setTagTTL("5m", "1m", ...asJane);
  await eventually(async () => expect(await tagTTL()).toBe("1m"));
  world.git("reset", "-q", "--hard", before);
  await waits("is not in the record's history any more, and only what allowed signers add to it is followed");
  expect(await tagTTL()).toBe("1m");
  await world.record.confirm("accepted", before);
  await eventually(async () => expect(await tagTTL()).toBe("5m"));
});

test("an operator that lost its clone judges from what the registry has published, and waits until that says it", async () => {
  const host = await GitHost.start();
  const remote = await RemoteWorld.on(host);
  try {
    remote.signingKey = world.signingKey;
    const asJane = await onlyOurs(remote);
    remote.upstream("cgr");
    await remote.start();
    const good = remote.head();
    await remote.stop();
    const bad = remote.edit(file, (text) => text.replace("tagTTL: 5m", "tagTTL: 9m"));
    remote.git(...asJane, "commit", "-q", "--allow-empty", "-m", "on top, and signed");
    remote.loseClone();

    const away = new ControlClient({ url: "http://127.0.0.1:9", token: "nobody" });
    const asks = () => eventually(() => expect(remote.log.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(notPublished)));
    await remote.start({ client: away });
    await asks();
    expect(remote.record.view.head).toBeNull();
    await remote.stop();
    await away.close();

    await remote.start();
    await eventually(() => expect(remote.plane?.record().waiting.join()).toContain(`commit ${bad} by Jane Doe`));
    expect((await remote.client.record()).revision).toBe(good);
    expect(await remote.served(cgr)).toMatchObject({ cache: { tagTTL: "5m" } });
    expect(remote.record.view.head).toBe(good);
    remote.git("reset", "-q", "--hard", good);
    remote.git(...asJane, "commit", "-q", "--allow-empty", "-m", "on top of what is good, and signed");
    const signed = remote.head();
    await eventually(async () => expect((await remote.client.record()).revision).toBe(signed));
  } finally {
    await remote.close();
    await host.stop();
  }
});

test("at a remote what nobody signed is neither served nor built upon, also by an operator that lost its clone", async () => {
  const host = await GitHost.start();
  const remote = await RemoteWorld.on(host);
  try {
    remote.signingKey = world.signingKey;
    const asJane = await onlyOurs(remote);
    remote.upstream("cgr");
    await remote.start();
    const good = remote.head();
    const served = async () => (await remote.client.record()).revision;
    expect(await served()).toBe(good);

    remote.git("commit", "-q", "--allow-empty", "-m", "by hand");
    const bad = remote.head();
    const isSaid = () => eventually(() => expect(remote.plane?.record().waiting.join()).toContain(`commit ${bad} by Jane Doe`));
    await isSaid();
    remote.upstream("hub");
    await eventually(() => expect(remote.condition("Upstream/default/hub", "Recorded")).toMatchObject({ reason: "SignerNotAllowed" }));
    await remote.stop();
    remote.loseClone();
    await remote.start();
    await isSaid();
    expect([remote.head(), await served()]).toEqual([bad, good]);

    remote.git("reset", "-q", "--hard", good);
    await eventually(async () => expect(await remote.served("Upstream/default/hub")).toBeDefined());
    remote.git(...asJane, "commit", "-q", "--allow-empty", "-m", "by hand, signed");
    const signed = remote.head();
    await eventually(async () => expect(await served()).toBe(signed));
    expect(remote.repository.git("log", "--format=%s", "wharfinger")).not.toMatch(/^by hand$/m);
  } finally {
    await remote.close();
    await host.stop();
  }
});
