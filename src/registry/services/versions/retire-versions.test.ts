// Versions of proxied repositories: proposed to retire, deleted by nobody here.

import { afterEach, beforeEach, expect, test } from "vitest";

import { deletes, openRetention, spec, type RetentionWorld } from "../../../../test/support/retention.ts";
import type { LedgerDocument } from "../../../api/control/record.ts";
import { digestOf } from "../../../domain/digest.ts";
import { insertRun } from "../../metadata/runs.ts";
import { waitingProposals } from "../../metadata/proposals.ts";

let world: RetentionWorld;
beforeEach(async () => {
  world = await openRetention();
});
afterEach(() => world.close());

const evidence = { type: "SPDX" as const, attestation: digestOf("attestation"), predicateType: "https://spdx.dev/Document", platforms: [] };

function ledgerOf(versions: readonly string[]): LedgerDocument {
  const builds = versions.map((version) => ({
    version,
    digest: digestOf(version),
    sourceTag: "latest",
    seen: "2026-11-01T00:00:00Z",
    evidence,
  }));
  return {
    image: "cgr.dev/chainguard/nginx",
    builds,
    tags: Object.fromEntries(builds.map(({ version, digest }) => [version, digest])),
    pinned: {},
    retired: {},
  };
}

test("version tags are proposed to retire, once, and never deleted here", async () => {
  const upstream = {
    kind: "Upstream" as const,
    namespace: "default",
    name: "cgr",
    generation: 1,
    revision: "r",
    suspend: false,
    spec: { url: "https://cgr.dev", prefix: "cgr" },
  };
  const versions = spec([{ name: "minors", semver: { newest: 1, per: "Minor" } }], { repositories: { include: ["cgr/**"] } });
  const name = "cgr/chainguard/nginx";
  await world.publish({ versions }, { resources: [upstream], ledgers: { [name]: ledgerOf(["1.27.1", "1.27.2", "1.27.3", "1.26.9"]) } });
  const plan = await world.retention.plan("default/versions");
  expect(deletes(plan)).toEqual(["1.27.1", "1.27.2"]);
  expect(plan.entries.every(({ version }) => version)).toBe(true);
  expect(plan.totals.bytes).toBe(0);

  const { database } = world.registry;
  const run = await database.transaction((transaction) =>
    insertRun(transaction, { kind: "prune", policy: "default/versions", trigger: "manual", generation: 1, silence: 60 }),
  );
  const id = "started" in run ? run.started.id : "";
  const applied = await world.retention.apply("default/versions", { plan: plan.id, run: id }, "run:1");
  expect(applied).toMatchObject({ deleted: [], kept: [], bytes: 0, proposals: [expect.any(String)] });
  expect((await world.retention.apply("default/versions", { plan: plan.id, run: id }, "run:1")).proposals).toEqual(applied.proposals);
  expect(await waitingProposals(database)).toMatchObject([
    {
      id: applied.proposals[0],
      policy: "default/versions",
      repository: name,
      body: {
        kind: "retire",
        run: id,
        repository: name,
        tags: [
          {
            tag: "1.27.1",
            digest: digestOf("1.27.1"),
            reason: expect.stringContaining("policy default/versions: no rule keeps it (minors: number 3 of 3 versions of 1.27"),
          },
          { tag: "1.27.2", digest: digestOf("1.27.2") },
        ],
      },
    },
  ]);
  expect(await world.registry.rows("SELECT tag FROM ledger")).toHaveLength(4);

  // The record retires one of them: then that one is gone already.
  await world.publish(
    { versions },
    { resources: [upstream], ledgers: { [name]: ledgerOf(["1.27.2", "1.27.3", "1.26.9"]) }, settled: [{ id: applied.proposals[0] ?? "" }] },
  );
  const late = await world.retention.apply("default/versions", { plan: plan.id }, "admin");
  expect(late.kept).toMatchObject([{ tag: "1.27.1", rule: "changed", reason: "the version is not published any more" }]);
  expect(late.proposals).toHaveLength(1);
});
