// The record's remote over ssh: a real sshd, host keys that are pinned, one key that is let in.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { GitHost } from "../support/git-remote.ts";
import { RemoteWorld } from "../support/remote-world.ts";
import { startSshd, type Sshd } from "../support/sshd.ts";

let host: GitHost;
let sshd: Sshd;
let world: RemoteWorld;

beforeAll(async () => {
  [host, sshd] = await Promise.all([GitHost.start(), startSshd()]);
});
afterAll(async () => {
  await host.stop();
  await sshd.stop();
});

beforeEach(async () => {
  world = await RemoteWorld.on(host);
  world.setRemote({ url: `${sshd.url}${world.repository.path}`, interval: 1_000 });
  world.upstream("cgr");
});
afterEach(() => world.close());

const cgr = "Upstream/default/cgr";
const right = () => ({ identity: sshd.identity, known_hosts: sshd.knownHosts });
const served = () => eventually(async () => expect(await world.served(cgr)).toBeDefined());

test("a record is pushed and followed over ssh", async () => {
  world.gitSecrets.set("default", "git", right());
  await world.start();
  expect(world.subjects()).toEqual(["upstream default/cgr: generation 1", "record: begins"]);
  world.edit("upstreams/default/cgr.yaml", (text) => text.replace("tagTTL: 5m", "tagTTL: 7m"));
  await eventually(async () => expect(await world.served(cgr)).toMatchObject({ cache: { tagTTL: "7m" } }));
});

test.each<[string, () => Record<string, string> | undefined, string]>([
  ["a host key that is not the pinned one", () => ({ ...right(), known_hosts: sshd.otherHost }), "Host key verification failed"],
  ["a key that is not let in", () => ({ ...right(), identity: sshd.stranger }), "Permission denied"],
  ["a key that is none", () => ({ ...right(), identity: "hello" }), "Permission denied"],
])("%s: AuthenticationFailed, until the Secret is right", async (_, secret, message) => {
  world.gitSecrets.set("default", "git", secret());
  await world.start();
  await eventually(() =>
    expect(world.condition(cgr, "Recorded")).toMatchObject({
      status: "False",
      reason: "AuthenticationFailed",
      message: expect.stringContaining(message) as string,
    }),
  );
  expect(world.repository.head()).toBeNull();
  world.gitSecrets.set("default", "git", right());
  await served();
});

test("an address with a user and no Secret at all says what is missing", async () => {
  const { secret: _, ...open } = world.remote ?? { url: "", branch: "", folder: "", interval: 0, timeout: 0 };
  world.remote = open;
  await world.start();
  await eventually(() => expect(world.condition(cgr, "Recorded")?.message).toContain("record.remote.secretRef is missing"));
});
