// record.md, "When Git is not well", with a remote that is down, slow, deaf, strange or unwilling: the registry serves on, changes wait with the reason, and
// all of them go on when it is well again.

import { hashSync } from "bcryptjs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { credentials, GitHost, type Faults } from "../support/git-remote.ts";
import { send } from "../support/http.ts";
import { RemoteWorld } from "../support/remote-world.ts";

let host: GitHost;
let world: RemoteWorld;

beforeAll(async () => {
  host = await GitHost.start();
});
afterAll(() => host.stop());

beforeEach(async () => {
  world = await RemoteWorld.on(host);
  world.upstream("cgr");
});
afterEach(async () => {
  host.heal();
  host.changePassword(credentials.password);
  await world.close();
});

const cgr = "Upstream/default/cgr";
const hub = "Upstream/default/hub";
const minutes = (n: number) => `  cache: {tagTTL: ${n}m}\n`;
const tagTTL = async () => ((await world.served(cgr)) as { cache?: { tagTTL: string } } | undefined)?.cache?.tagTTL;
const serves = (ttl: string) => eventually(async () => expect(await tagTTL()).toBe(ttl));
const says = (key: string, reason: string, message: string | RegExp) =>
  eventually(() =>
    expect(world.condition(key, "Recorded")).toMatchObject({
      status: "False",
      reason,
      message: typeof message === "string" ? (expect.stringContaining(message) as string) : (expect.stringMatching(message) as string),
    }),
  );

const without = (secret: Record<string, string>, key: string) =>
  Object.fromEntries(Object.entries(secret).filter(([name]) => name !== key));

/** What is new waits with the reason, what is there is served and Ready; when the remote is well, what came meanwhile from both sides is there. Returns how often it was committed. */
async function waitsAndGoesOn(reason: string, message: string | RegExp, heal: () => void): Promise<number> {
  const { revision } = await world.client.record();
  world.upstream("hub");
  await says(hub, reason, message);
  expect(world.condition(hub, "Ready")).toMatchObject({ status: "False", reason });
  expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" });
  expect(await world.client.record()).toMatchObject({ revision });
  expect(await tagTTL()).toBe("5m");
  const theirs = world.edit("upstreams/default/cgr.yaml", (text) => text.replace("tagTTL: 5m", "tagTTL: 7m"));
  heal();
  await eventually(async () => expect(await world.served(hub)).toBeDefined());
  await serves("7m");
  await eventually(() => expect(world.condition(hub, "Recorded")).toMatchObject({ status: "True" }));
  await eventually(() => expect(world.plane?.record().problem).toBeUndefined());
  expect(world.repository.git("rev-list", "wharfinger").split("\n")).toContain(theirs);
  return world.subjects().filter((subject) => subject === "upstream default/hub: generation 1").length;
}

test.each<[string, Faults, string, string | RegExp]>([
  ["down", { down: true }, "RemoteUnavailable", /^fetch from https:/],
  ["deaf", { silent: true }, "RemoteUnavailable", "no answer within 2 s"],
  ["failing", { status: 500 }, "RemoteUnavailable", "returned error: 500"],
  ["gone", { status: 404 }, "RemoteUnavailable", "not found"],
  ["a page for people", { portal: true }, "RemoteUnavailable", "info/refs not valid: is this a git repository?"],
  ["a redirect to somebody else", { status: 302, location: "/elsewhere" }, "RemoteUnavailable", "returned error: 302"],
  ["refusing", { status: 403 }, "AuthenticationFailed", "returned error: 403"],
])("a remote that is %s", async (_, faults, reason, message) => {
  // A remote that is well takes longer than that now and then.
  if (faults.silent === true) world.setRemote({ timeout: 2_000 });
  await world.start();
  Object.assign(host.faults, faults);
  expect(await waitsAndGoesOn(reason, message, () => host.heal())).toBe(1);
  expect(host.requests.filter((request) => request.includes("elsewhere"))).toEqual([]);
});

test("credentials that are refused wait for others, which count at once", async () => {
  await world.start();
  host.changePassword("another");
  const refused = "the credentials were refused: put a username and a password (a token) that count there into Secret default/git";
  const another = () => world.gitSecrets.set("default", "git", { ...host.secret, password: "another\n" });
  expect(await waitsAndGoesOn("AuthenticationFailed", refused, another)).toBe(1);
});

test.each<[string, (secret: Record<string, string>) => Record<string, string> | undefined, string | RegExp]>([
  ["there is none", () => undefined, "there is no Secret default/git, which record.remote.secretRef names"],
  ["the authority is another one", (secret) => without(secret, "ca.crt"), /certificate/i],
])("a Secret that is wrong says what is: %s", async (_, change, message) => {
  await world.start();
  const right = host.secret;
  world.gitSecrets.set("default", "git", change(right));
  expect(await waitsAndGoesOn("AuthenticationFailed", message, () => world.gitSecrets.set("default", "git", right))).toBe(1);
});

test("a remote whose hook declines: its words are in the condition, what people push is followed, and nothing is forced", async () => {
  await world.start();
  world.repository.decline("the record is frozen until Monday");
  world.upstream("hub");
  await says(hub, "PushRefused", "pre-receive hook declined): the record is frozen until Monday");
  expect(world.subjects()[0]).toBe("upstream default/cgr: generation 1");
  // In the repository itself there is no hook in the way.
  world.repository.decline(undefined);
  await eventually(async () => expect(await world.served(hub)).toBeDefined());
});

test("a push that arrived although its answer did not is not repeated", async () => {
  await world.start();
  host.faults.losesAnswers = true;
  world.upstream("hub");
  await eventually(async () => expect(await world.served(hub)).toBeDefined());
  host.heal();
  world.upstream("cgr", minutes(2));
  await serves("2m");
  expect(world.subjects().filter((subject) => subject.startsWith("upstream default/hub"))).toHaveLength(1);
});

test("a push that is refused because somebody was faster is rendered again on theirs", async () => {
  world.setRemote({ interval: 600_000 });
  await world.start();
  const theirs = world.edit("upstreams/default/cgr.yaml", (text) => text.replace("tagTTL: 5m", "tagTTL: 7m"));
  world.upstream("hub");
  await eventually(async () => expect(await world.served(hub)).toBeDefined());
  expect(await tagTTL()).toBe("7m");
  expect(world.repository.git("rev-parse", "wharfinger~1")).toBe(theirs);
});

test("a start while the remote is away: what is published stays, and says why", async () => {
  await world.start();
  await world.stop();
  for (const lost of [false, true]) {
    const { revision } = await world.client.record();
    if (lost) world.loseClone();
    host.faults.down = true;
    await world.start();
    expect((await world.plane?.ready)?.revision).toBe(revision);
    world.upstream("hub", lost ? minutes(2) : "");
    await says(hub, "RemoteUnavailable", "fetch from https:");
    expect(await tagTTL()).toBe("5m");
    host.heal();
    await eventually(() => expect(world.condition(hub, "Ready")).toMatchObject({ status: "True" }));
    await world.stop();
  }
  expect(world.subjects()).toEqual([
    "upstream default/hub: generation 2",
    "upstream default/hub: generation 1",
    "upstream default/cgr: generation 1",
    "record: begins",
  ]);
});

test("a database that is lost while the remote is away is filled when it is back, and not before", async () => {
  await world.start();
  await world.stop();
  await world.loseDatabase();
  host.faults.down = true;
  await world.start();
  await eventually(() => expect(world.plane?.record().problem).toContain("fetch from https:"));
  expect((await world.client.record()).revision).toBeNull();
  host.heal();
  await serves("5m");
});

test("while the remote is away a user's access is taken by taking the user out of the Secret", async () => {
  await world.start();
  const { secrets, url } = world.registry;
  const users = (text: string) => secrets.set("default", "wharfinger-users", { htpasswd: text });
  const login = async () => {
    const authorization = `Basic ${Buffer.from("ci:right").toString("base64")}`;
    return (await send(url, "GET", "/v2/", { headers: { authorization } })).status;
  };
  users(`ci:${hashSync("right", 5)}\n`);
  await eventually(async () => expect(await login()).toBe(200));
  host.faults.down = true;
  world.upstream("hub");
  await says(hub, "RemoteUnavailable", "fetch from https:");
  users("");
  await eventually(async () => expect(await login()).toBe(401));
});

test("the pauses grow: a remote that is away is not asked in a loop", async () => {
  await world.start();
  const before = host.requests.length;
  const began = performance.now();
  host.faults.status = 500;
  for (let round = 0; round < 15; round++) {
    world.upstream("hub", `# ${round}\n`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await says(hub, "RemoteUnavailable", "returned error: 500");
  // One at once, one after a second, one after two more, one after four more; each is a single request. Two more may be on their way.
  const asked = host.requests.length - before;
  expect(asked).toBeLessThanOrEqual(3 + Math.log2((performance.now() - began) / 1_000 + 1));
});

test("an operator that ends does not wait for a remote that is deaf", async () => {
  world.setRemote({ timeout: 600_000 });
  await world.start();
  host.faults.silent = true;
  const before = host.requests.length;
  await eventually(() => expect(host.requests.length).toBeGreaterThan(before));
  await world.stop();
  // Else it would be given up after half a minute of silence, and told.
  expect(world.log.filter(({ msg }) => msg.includes("cannot be followed"))).toEqual([]);
});
