// What is kept of each source tag, and what a question reads of many. On a real PostgreSQL.

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

import { createMigratedDatabase, type TestDatabase } from "../../../test/support/postgres.ts";
import { Database, type Statement } from "./database.ts";
import { pruneOutcomes, settledOutcomes } from "./sync-outcomes.ts";

let fresh: TestDatabase;
let database: Database;
beforeAll(async () => {
  fresh = await createMigratedDatabase();
  database = new Database({ url: fresh.url });
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});
beforeEach(() => rows("TRUNCATE sync_outcomes, record"));

const rows = <Row = unknown>(text: string, values?: readonly unknown[]) => database.query<Row>({ name: "", text }, values);

const policy = "default/images";
const anchors = "those of now";
const publish = (part: { resources?: readonly object[]; refused?: readonly object[] }) =>
  rows("INSERT INTO record (revision, document) VALUES ('r1', $1)", [JSON.stringify({ resources: [], refused: [], ...part })]);
const published = (generation: number) => ({ kind: "TagPolicy", namespace: "default", name: "images", generation });

/** `digests` of each of `tags`, named by their number; the first is the newest, each a minute older than the one before. */
async function settle(options: { policy?: string; generation?: number; tags?: number; digests: number; age?: string }): Promise<void> {
  await rows(
    `INSERT INTO sync_outcomes (policy, generation, repository, source_tag, digest, outcome, checked_at)
     SELECT $1, $2, 'nginx', 'tag ' || tag, 'sha256:' || lpad(digest::text, 4, '0'), 'Minted',
       now() - $5::interval - make_interval(mins => digest)
     FROM generate_series(1, $3) tag, generate_series(1, $4) digest`,
    [options.policy ?? policy, options.generation ?? 1, options.tags ?? 1, options.digests, options.age ?? "0"],
  );
}
const left = async () =>
  (
    await rows<{ what: string }>(
      `SELECT policy || ' ' || generation || ' ' || source_tag || ': ' || string_agg(substr(digest, 8), ' ' ORDER BY digest) AS what
       FROM sync_outcomes GROUP BY policy, generation, source_tag ORDER BY 1`,
    )
  ).map(({ what }) => what);
const ten = "0001 0002 0003 0004 0005 0006 0007 0008 0009 0010";

test("of each source tag the ten newest stay: those that a run is told", async () => {
  await publish({ resources: [published(1)] });
  await settle({ digests: 13, tags: 2 });
  const before = await settledOutcomes(database, { policy, generation: 1, anchors });
  expect(await pruneOutcomes(database)).toBe(6);
  expect(await left()).toEqual([`default/images 1 tag 1: ${ten}`, `default/images 1 tag 2: ${ten}`]);
  expect(await settledOutcomes(database, { policy, generation: 1, anchors })).toEqual(before);
  expect(await pruneOutcomes(database)).toBe(0);
});

test("many that one run settled at the same moment: what is told is what stays", async () => {
  await publish({ resources: [published(1)] });
  await settle({ digests: 30 });
  await rows("UPDATE sync_outcomes SET checked_at = now()");
  const before = await settledOutcomes(database, { policy, generation: 1, anchors });
  expect(await pruneOutcomes(database)).toBe(20);
  expect(await settledOutcomes(database, { policy, generation: 1, anchors })).toEqual(before);
});

test("another generation than the published one goes after 30 days, also a later one: the policy was made again", async () => {
  await publish({ resources: [published(2)] });
  for (const generation of [1, 2, 3]) await settle({ generation, digests: 1, age: "31 days" });
  for (const generation of [4, 5]) await settle({ generation, digests: 1, age: "29 days" });
  expect(await pruneOutcomes(database)).toBe(2);
  expect(await left()).toEqual(["default/images 2 tag 1: 0001", "default/images 4 tag 1: 0001", "default/images 5 tag 1: 0001"]);
});

test("a policy that is not published has none; one that this release refuses is published", async () => {
  const refused = { kind: "TagPolicy", namespace: "default", name: "refused", reason: "Invalid", message: "" };
  await publish({ resources: [published(1), { ...published(1), kind: "RetentionPolicy", name: "namesake" }], refused: [refused] });
  for (const name of ["images", "refused", "namesake", "gone"]) await settle({ policy: `default/${name}`, digests: 1, age: "40 days" });
  expect(await pruneOutcomes(database)).toBe(2);
  expect(await left()).toEqual(["default/images 1 tag 1: 0001", "default/refused 1 tag 1: 0001"]);
});

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: readonly PlanNode[];
}
const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

test("of 100,000 settled digests a run reads the ten newest of each source tag, by an index", async () => {
  await settle({ tags: 100, digests: 1_000 });
  await rows("ANALYZE sync_outcomes");
  const asked: { statement: Statement; values: readonly unknown[] }[] = [];
  const found = await settledOutcomes(
    {
      query: (statement, values = []) => {
        asked.push({ statement, values });
        return database.query(statement, values);
      },
      execute: database.execute.bind(database),
    },
    { policy, generation: 1, anchors },
  );
  expect(found).toHaveLength(1_000);
  const [{ statement, values } = { statement: { text: "" }, values: [] }] = asked;
  const [explained] = await rows<{ "QUERY PLAN": [{ Plan: PlanNode }] }>(`EXPLAIN (ANALYZE, FORMAT JSON) ${statement.text}`, values);
  const scans = nodesOf(explained!["QUERY PLAN"][0].Plan).filter((node) => node["Relation Name"] === "sync_outcomes");
  expect(scans.map((node) => node["Node Type"])).toEqual(scans.map(() => expect.stringMatching(/^Index (Only )?Scan$/)));
  const read = scans.reduce((sum, node) => sum + (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"], 0);
  expect(read).toBeLessThan(1_200);
});
