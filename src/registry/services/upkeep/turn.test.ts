import { afterAll, beforeAll, expect, test } from "vitest";

import { createMigratedDatabase, type TestDatabase } from "../../../../test/support/postgres.ts";
import { eventually } from "../../../../test/support/eventually.ts";
import { createLogger } from "../../../observability/logger.ts";
import { Database } from "../../metadata/database.ts";
import { SharedTurn } from "./turn.ts";

let created: TestDatabase;
let database: Database;
beforeAll(async () => {
  created = await createMigratedDatabase();
  database = new Database({ url: created.url });
});
afterAll(async () => {
  await database.close();
  await created.drop();
});

const turnOf = (pod: string, name: string, holds = 60_000) =>
  new SharedTurn({ database, name, pod, logger: createLogger({ level: "silent" }), times: { holds, every: 20 } });

test("one of two has the turn, and the other gets it when that one stops", async () => {
  const [first, second] = [turnOf("a", "given"), turnOf("b", "given")];
  const told: string[] = [];
  first.onTaken(() => told.push("a"));
  second.onTaken(() => told.push("b"));
  first.start();
  await eventually(() => expect(first.mine()).toBe(true));
  second.start();
  expect(second.mine()).toBe(false);
  await first.stop();
  expect(first.mine()).toBe(false);
  await eventually(() => expect(second.mine()).toBe(true));
  expect(told).toEqual(["a", "b"]);
  await second.stop();
});

test("of a process that was killed it passes on when its word has run out", async () => {
  // Says one word and is never heard again.
  await database.query({ name: "", text: "INSERT INTO turns VALUES ('lost', 'dead', now() + interval '300 milliseconds')" });
  const next = turnOf("b", "lost");
  next.start();
  await eventually(() => expect(next.mine()).toBe(true));
  await next.stop();
});

test("who cannot say its word any more has lost the turn by its own clock", async () => {
  const own = new Database({ url: created.url });
  const turn = new SharedTurn({
    database: own,
    name: "silent",
    pod: "a",
    logger: createLogger({ level: "silent" }),
    times: { holds: 200, every: 20 },
  });
  turn.start();
  await eventually(() => expect(turn.mine()).toBe(true));
  await own.close();
  await eventually(() => expect(turn.mine()).toBe(false));
  await turn.stop();
});
