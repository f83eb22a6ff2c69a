// Versions through the record: proposals become commits, commits become tags, what a person takes out stays out (record.md, "Ledger files"; tag-sync.md).

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";

import type { Proposal } from "../../src/api/control/proposals.ts";
import type { RecordState } from "../../src/api/control/record.ts";
import { ControlClient, type WaitOptions } from "../../src/client/control-client.ts";
import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { adminToken } from "../support/registry.ts";

let world: World;
const image = "cgr/chainguard/nginx";
const ledger = () => join(world.recordFolder, "versions/cgr/chainguard/nginx/_ledger.yaml");

beforeEach(async () => {
  world = await World.create();
  world.upstream("cgr");
  world.tagPolicy("nginx");
});

afterEach(async () => {
  await world.close();
});

/** Holds a round back where it asks for the published revision, and writes down which proposals it was given. */
class HeldClient extends ControlClient {
  readonly answers: string[] = [];
  #reached: (() => void) | undefined;
  #released: Promise<void> = Promise.resolve();

  hold(): { reached: Promise<void>; release: () => void } {
    let release = (): void => undefined;
    this.#released = new Promise((resolve) => (release = resolve));
    return { reached: new Promise((resolve) => (this.#reached = resolve)), release };
  }

  override async record(): Promise<RecordState> {
    this.#reached?.();
    await this.#released;
    return super.record();
  }

  override async waitingProposals(options: WaitOptions = {}): Promise<Proposal[]> {
    const proposals = await super.waitingProposals(options);
    this.answers.push(...proposals.map(({ id }) => id));
    return proposals;
  }
}

async function mint(version: string, letter: string, tags: readonly string[]): Promise<void> {
  const id = await world.propose(version, letter, tags);
  await eventually(async () => expect((await world.client.proposal(id)).state).toBe("published"));
}

test("a proposal becomes one readable commit, then tags", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2", "1.27.3"]);
  expect(world.subjects()[0]).toBe(`versions ${image}: 1.27.3-r2`);
  expect(world.git("log", "-1", "--format=%b")).toContain("* policy: tagpolicy default/nginx");
  expect(world.git("log", "-1", "--format=%b")).not.toContain("Resource:");
  expect(await world.versions(image)).toEqual(["1.27.3", "1.27.3-r2"]);
  expect(await world.client.versions(image)).toMatchObject({
    policy: "default/nginx",
    revision: world.head(),
    ledger: { image: "cgr.example.org/chainguard/nginx" },
  });
  await eventually(() => expect(world.view("TagPolicy/default/nginx").status.details).toMatchObject({ tags: 2 }));
});

test("who signed without a key stands in the commit, in the ledger file and in the answer", async () => {
  await world.start();
  await mint("1.27.2-r0", "a", ["1.27.2-r0"]);
  const [issuer, subject] = ["https://token.actions.githubusercontent.com", "https://github.com/acme/app/x@refs/heads/main"];
  const rootVersion = `sha256:${"e".repeat(64)}`;
  const signer = { issuer, subject, logIndex: 123, signed: "2026-11-21T02:11:09Z", rootVersion };
  const id = await world.propose("1.27.3-r2", "b", ["1.27.3-r2"], signer);
  await eventually(async () => expect((await world.client.proposal(id)).state).toBe("published"));
  expect(world.git("log", "-1", "--format=%b")).toContain(
    [
      `* signer: ${subject} (issuer ${issuer})`,
      "* signed: 2026-11-21T02:11:09Z",
      "* log index: 123",
      `* trusted root: ${rootVersion}`,
      "* platforms: linux/amd64",
    ].join("\n"),
  );
  expect(world.git("log", "-1", "--skip=1", "--format=%b")).toContain("* signer: nobody (mode Unverified)\n");
  const builds = (text: string) => (parse(text) as { builds: Record<string, unknown>[] }).builds;
  const [old, certified] = builds(readFileSync(ledger(), "utf8"));
  expect(JSON.stringify(certified), "in the order of the design page").toBe(
    JSON.stringify({
      version: "1.27.3-r2",
      digest: `sha256:${"b".repeat(64)}`,
      sourceTag: "latest",
      seen: "2026-11-21T09:30:00Z",
      evidence: {
        type: "SPDX",
        attestation: `sha256:${"f".repeat(64)}`,
        predicateType: "https://spdx.dev/Document",
        ...signer,
        platforms: ["linux/amd64"],
      },
    }),
  );
  expect(old).toMatchObject({ version: "1.27.2-r0", evidence: { type: "SPDX" } });
  expect((await world.client.versions(image)).ledger.builds[1]?.evidence).toMatchObject(signer);
});

test("a reverted version leaves service and is never minted again, also after the database was rebuilt", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2", "1.27.3"]);
  world.git("revert", "--no-edit", "HEAD");
  const revert = world.head();
  await eventually(async () => expect(await world.versions(image)).toEqual([]));
  // The file is gone; who took the versions out is not.
  expect((await world.client.versions(image)).ledger).toMatchObject({
    tags: {},
    retired: { "1.27.3": { by: "Jane Doe <jane@example.org>", commit: revert, digest: `sha256:${"a".repeat(64)}` } },
  });

  const again = await world.propose("1.27.3-r2", "a", ["1.27.3-r2", "1.27.3"]);
  await eventually(async () => expect((await world.client.proposal(again)).state).toBe("refused"));
  expect((await world.client.proposal(again)).reason).toContain(`retired by Jane Doe <jane@example.org> in ${revert}`);
  expect(world.head()).toBe(revert);

  await world.stop();
  await world.loseDatabase();
  await world.start();
  const rebuilt = await world.propose("1.27.3-r2", "a", ["1.27.3-r2", "1.27.3"]);
  await eventually(async () => expect((await world.client.proposal(rebuilt)).state).toBe("refused"));
  expect(await world.versions(image)).toEqual([]);

  // The next version writes the decision down first, in a commit of its own: reverting the version leaves the decision.
  await mint("1.27.4-r0", "b", ["1.27.4-r0", "1.27"]);
  expect(world.subjects().slice(0, 2)).toEqual([`versions ${image}: 1.27.4-r0`, `versions ${image}: 1.27.3-r2 retired, 1.27.3 retired`]);
  expect(readFileSync(ledger(), "utf8")).toContain(`commit: ${revert}`);
  world.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await world.versions(image)).toEqual([]));
  const third = await world.propose("1.27.3-r2", "a", ["1.27.3-r2", "1.27.3"]);
  await eventually(async () => expect((await world.client.proposal(third)).state).toBe("refused"));
});

test("each build names the commit that brought it, also after other commits, a revert of the revert and the loss of the database", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2", "1.27"]);
  const first = world.head();
  await mint("1.27.4-r0", "b", ["1.27.4-r0", "1.27"]);
  const second = world.head();
  world.upstream("hub");
  await eventually(async () => expect((await world.client.record()).revision).not.toBe(second));
  const commits = { [`sha256:${"a".repeat(64)}`]: first, [`sha256:${"b".repeat(64)}`]: second };
  expect(await world.client.versions(image)).toMatchObject({ revision: second, commits });

  await world.stop();
  await world.loseDatabase();
  await world.start();
  await eventually(async () => expect(await world.client.versions(image)).toMatchObject({ revision: second, commits }));

  world.git("revert", "--no-edit", second);
  await eventually(async () => expect((await world.client.versions(image)).commits).toEqual({ [`sha256:${"a".repeat(64)}`]: first }));
  world.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect((await world.client.versions(image)).commits).toEqual(commits));
});

test("reverting the revert brings the version back", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2"]);
  world.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await world.versions(image)).toEqual([]));
  world.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect(await world.versions(image)).toEqual(["1.27.3-r2"]));
  await mint("1.27.4-r0", "b", ["1.27.4-r0"]);
  expect(world.subjects()[0]).toBe(`versions ${image}: 1.27.4-r0`);
  expect(readFileSync(ledger(), "utf8")).not.toContain("retired");
});

test("a binding that a person changed is pinned, and a comment that a person wrote stays", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2", "1.27"]);
  await mint("1.27.4-r0", "b", ["1.27.4-r0", "1.27"]);
  const text = readFileSync(ledger(), "utf8").replace(/("1\.27": sha256:)b+/, `$1${"a".repeat(64)} # 1.27.4 breaks us`);
  writeFileSync(ledger(), `${text}team: web\n`);
  world.git("commit", "-qam", "hold 1.27");
  const theirs = world.head();
  await eventually(async () => expect((await world.client.versions(image)).ledger.tags["1.27"]).toBe(`sha256:${"a".repeat(64)}`));
  await mint("1.27.5-r0", "c", ["1.27.5-r0", "1.27"]);
  const written = readFileSync(ledger(), "utf8");
  expect(written).toMatch(new RegExp(`"1\\.27": sha256:a{64} # 1\\.27\\.4 breaks us`));
  expect(written).toContain("team: web");
  expect(written).toContain(`commit: ${theirs}`);
  expect(world.git("log", "-1", "--format=%b")).toContain("1.27: not bound, pinned by Jane Doe <jane@example.org>");
  expect(await world.versions(image)).toEqual(["1.27", "1.27.3-r2", "1.27.4-r0", "1.27.5-r0"]);
});

test("proposals that come while a round runs are asked for again only when a round has seen them", async () => {
  const client = new HeldClient({ url: world.registry.url, token: adminToken });
  await world.start({ client });
  await eventually(() => expect(world.condition("TagPolicy/default/nginx", "Ready")).toMatchObject({ status: "True" }));
  const held = client.hold();
  world.upstream("hub");
  await held.reached;
  const id = await world.propose("1.27.3-r2", "a");
  await eventually(() => expect(client.answers).toContain(id));
  held.release();
  await eventually(async () => expect((await world.client.proposal(id)).state).toBe("published"));
  expect(client.answers.filter((answer) => answer === id)).toHaveLength(1);
  await world.stop();
  await client.close();
});

test("a lost database is filled from Git", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2"]);
  await world.stop();
  const head = world.head();
  await world.loseDatabase();
  await world.start();
  expect(world.head()).toBe(head);
  expect(await world.versions(image)).toEqual(["1.27.3-r2"]);
  expect(await world.served("Upstream/default/cgr")).toBeDefined();
});

test("committed and not published: the proposal is settled by the commit that has it", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2"]);
  const head = world.head();
  // As a crash between commit and publish leaves it.
  await world.sql("UPDATE proposals SET state = 'waiting', settled_at = NULL");
  await eventually(async () => expect((await world.client.waitingProposals()).length).toBe(0));
  expect(world.head()).toBe(head);
}, 60_000);

test("an invalid ledger file is served as of its last valid commit, and what waits for it waits", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2"]);
  writeFileSync(ledger(), readFileSync(ledger(), "utf8").replace("sourceTag: latest", "sourceTag: [latest]"));
  world.git("commit", "-qam", "oops");
  await eventually(() => expect(world.plane?.record().problems[0]?.path).toBe(`versions/${image}/_ledger.yaml`));
  await eventually(() => expect(world.plane?.record().problems[0]?.line).toBeGreaterThan(1));
  expect(await world.versions(image)).toEqual(["1.27.3-r2"]);
  const id = await world.propose("1.27.4-r0", "b", ["1.27.4-r0"]);
  await eventually(() =>
    expect(world.plane?.record().waiting.join()).toContain(`versions of ${image} wait until its ledger file is valid`),
  );
  expect((await world.client.proposal(id)).state).toBe("waiting");
  world.git("revert", "--no-edit", "HEAD");
  await eventually(async () => expect((await world.client.proposal(id)).state).toBe("published"));
});

test("a policy that is gone mints nothing more; its versions stay", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2"]);
  world.remove("nginx.yaml");
  await eventually(() => expect(world.subjects()[0]).toBe("tagpolicy default/nginx: removed"));
  const id = await world.propose("1.27.4-r0", "b", ["1.27.4-r0"]);
  await eventually(async () => expect((await world.client.proposal(id)).state).toBe("refused"));
  expect(await world.versions(image)).toEqual(["1.27.3-r2"]);
});

test("a new repository beside a registry that has versions gets them back first", async () => {
  await world.start();
  await mint("1.27.3-r2", "a", ["1.27.3-r2"]);
  await world.stop();
  rmSync(world.recordFolder, { recursive: true });
  await world.start();
  expect(world.git("log", "--format=%s", "--reverse").split("\n").slice(0, 2)).toEqual([
    "record: begins",
    `versions ${image}: restored from the registry`,
  ]);
  expect(await world.versions(image)).toEqual(["1.27.3-r2"]);
  await eventually(async () => expect((await world.client.record()).revision).toBe(world.head()));
});

test("policies run when they are new, and when somebody asks", async () => {
  await world.start();
  await eventually(() => expect(world.runs).toEqual(["tag-sync default/nginx schedule"]));
  await eventually(() => expect(world.condition("TagPolicy/default/nginx", "Synced")).toMatchObject({ status: "True" }));
  await eventually(() => expect(world.view("TagPolicy/default/nginx").status.details).toHaveProperty("nextRun"));
  world.write(
    "nginx.yaml",
    readFileSync(join(world.config, "nginx.yaml"), "utf8").replace(
      "{name: nginx}",
      '{name: nginx, annotations: {wharfinger.dev/requestedAt: "1"}}',
    ),
  );
  await eventually(() => expect(world.runs).toEqual(["tag-sync default/nginx schedule", "tag-sync default/nginx manual"]));
  await eventually(() => expect(world.view("TagPolicy/default/nginx").status.details).toMatchObject({ lastHandledReconcileAt: "1" }));
});

test("what a prune run deleted is committed with its reasons", async () => {
  const entry = {
    repository: "team/app",
    tag: "old",
    digest: `sha256:${"e".repeat(64)}`,
    verdict: "delete",
    rule: "none",
    reason: "no rule keeps it",
    version: false,
    bytes: 7,
  };
  world.outcome = { result: { plan: "plan-1", deleted: [entry], kept: [], proposals: [], bytes: 7 } };
  const write = (asked: string) =>
    world.write(
      "clean.yaml",
      `apiVersion: wharfinger.dev/v1alpha1\nkind: RetentionPolicy\nmetadata: {name: clean, annotations: {${asked}}}\nspec: {repositories: {include: [team/**]}, action: Delete, keep: [{name: v, tags: ^v}]}\n`,
    );
  write("");
  await world.start();
  await eventually(() => expect(world.view("RetentionPolicy/default/clean").status.details).toHaveProperty("nextRun"));
  write('wharfinger.dev/requestedAt: "1"');
  await eventually(() => expect(world.subjects()[0]).toBe("plan default/clean: 1 deleted, 7 bytes"));
  expect(world.git("show", "HEAD:plans/default/clean.yaml")).toContain("reason: no rule keeps it");
  await eventually(async () => expect((await world.client.record()).revision).toBe(world.head()));
});
