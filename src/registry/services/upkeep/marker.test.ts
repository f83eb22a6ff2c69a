import { randomUUID } from "node:crypto";

import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { noTimes, openOwnRegistry, pushBlob, type OwnRegistry } from "../../../../test/support/own-registry.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { readInstallation } from "../../metadata/installation.ts";
import { Marker } from "./marker.ts";

let registry: OwnRegistry;
const lines: string[] = [];
const logger = pino({ level: "info" }, { write: (line: string) => lines.push(line) });
const words = { store: "the bucket registry", flags: " --settings s.yaml" };
beforeEach(async () => {
  registry = await openOwnRegistry();
  lines.splice(0);
});
afterEach(() => registry.close());

const open = (acceptStore = false) => Marker.open({ database: registry.database, named: registry.store.named, logger, words, acceptStore });
const installation = () => readInstallation(registry.database);
const reasons = async () => (await readGcPauses(registry.database)).map(({ reason }) => reason);
async function names(): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of registry.store.named.list("marker/")) found.push(name);
  return found.sort();
}
const put = async (id: string, counter: number) => {
  async function* nothing(): AsyncGenerator<Uint8Array> {}
  await registry.store.named.put(`marker/${id}/${String(counter).padStart(12, "0")}`, nothing());
};
const highest = async () => Number((await names()).at(-1)?.split("/").at(-1));
/** The database as it was when its counter was this: a restored backup. */
const goBackTo = (counter: number) =>
  registry
    .rows("UPDATE installation SET counter = $1, marked = least(marked, $1)", [counter])
    .then(() => registry.rows("DELETE FROM gc_pauses"));

describe("counting together", () => {
  test("it rises at each start and each time it is asked to, in the database before the store", async () => {
    const marker = await open();
    expect(await installation()).toMatchObject({ counter: 1, marked: 1 });
    expect(await marker.raise()).toBe(true);
    await open();
    expect(await installation()).toMatchObject({ counter: 3, marked: 3 });
    const { id } = await installation();
    expect(await names()).toEqual([1, 2, 3].map((counter) => `marker/${id}/${String(counter).padStart(12, "0")}`));
    expect(await reasons()).toEqual([]);
  });

  test("many processes raise it at once, and none is alarmed; a few objects stay", async () => {
    const markers = await Promise.all([open(), open(), open()]);
    for (let round = 0; round < 5; round++) {
      expect(await Promise.all(markers.map((marker) => marker.raise()))).toEqual([true, true, true]);
    }
    expect(await installation()).toMatchObject({ counter: 18, marked: 18 });
    expect([await highest(), (await names()).length < 13]).toEqual([18, true]);
    expect(await reasons()).toEqual([]);
  });

  test("a number that comes late does not take the place of a higher one", async () => {
    const marker = await open();
    for (let counter = 2; counter <= 6; counter++) await marker.raise();
    await put((await installation()).id, 3);
    await goBackTo(5);
    expect(await marker.raise()).toBe(false);
    expect(await reasons()).toEqual(["database-behind"]);
  });

  test("a store that does not answer: the counter may run ahead in the database, which alarms nobody", async () => {
    const marker = await open();
    const { named } = registry.store;
    const put = named.put.bind(named);
    named.put = () => Promise.reject(new Error("503"));
    await expect(marker.raise()).rejects.toThrow("503");
    await expect(marker.raise()).rejects.toThrow("503");
    named.put = put;
    expect(await marker.raise()).toBe(true);
    expect(await installation()).toMatchObject({ counter: 4, marked: 4 });
  });
});

describe("a database that went back in time", () => {
  test("is noticed at the start, said, and stays noticed until it is set anew", async () => {
    const marker = await open();
    await marker.raise();
    await goBackTo(1);
    await open();
    expect(await reasons()).toEqual(["database-behind"]);
    expect(lines.join("")).toContain("the database is at 1 and its marker in the store at 2: the database is an older copy");
    expect(lines.join("")).toContain("wharfinger audit --adopt");
    await registry.rows("DELETE FROM gc_pauses"); // whoever resumes by hand: the next start says it again
    await open();
    expect(await reasons()).toEqual(["database-behind"]);
    await marker.setAnew();
    expect(await reasons()).toEqual([]);
    expect(await installation()).toMatchObject({ counter: 3, marked: 3 });
    expect(await marker.raise()).toBe(true);
  });

  test("is noticed by a process that runs on, before it deletes: what was claimed stays in the store", async () => {
    await registry.setTimes(noTimes);
    const marker = await open();
    await marker.raise();
    await pushBlob(registry.push, "team/app");
    await goBackTo(1);
    const collector = registry.collector(noTimes, undefined, { beforeDeletion: () => marker.raise() });
    expect(await collector.runOnce()).toMatchObject({ blobs: 1, swept: 0 });
    const stored: string[] = [];
    for await (const { key } of registry.store.list()) stored.push(key);
    expect(stored).toHaveLength(1);
    expect(await reasons()).toEqual(["database-behind"]);
    await marker.setAnew();
    await registry.rows("UPDATE objects SET sweep_after = now()");
    expect(await collector.runOnce()).toMatchObject({ swept: 1 });
  });

  test("every moment before a deletion counts as back in time, the claim's own too", async () => {
    await registry.setTimes(noTimes);
    const marker = await open();
    await pushBlob(registry.push, "team/app");
    const moments: number[] = [];
    const note = async () => moments.push((await installation()).counter);
    const remove = registry.store.delete.bind(registry.store);
    let atDeletion = 0;
    registry.store.delete = async (keys, sizes) => {
      atDeletion = await highest();
      return remove(keys, sizes);
    };
    const collector = registry.collector(noTimes, undefined, {
      beforeDeletion: async () => {
        await note(); // the claim is committed: the last moment before the rise
        return marker.raise();
      },
    });
    await note();
    expect(await collector.runOnce()).toMatchObject({ swept: 1 });
    expect(moments).toHaveLength(2);
    for (const moment of moments) expect(moment).toBeLessThan(atDeletion);
  });
});

describe("a store that went back in time, or is another one", () => {
  test("an older copy pauses the collector", async () => {
    const marker = await open();
    await marker.raise();
    const [, second = ""] = await names();
    await registry.store.named.delete([second]);
    await open();
    expect(await reasons()).toEqual(["store-behind"]);
    expect(lines.join("")).toContain("the store's marker is at 1, and was at 2: the store is an older copy");
  });

  test("without a marker it is refused, until somebody says that it is to be used", async () => {
    await open();
    await registry.store.named.delete(await names());
    await expect(open()).rejects.toThrow(
      /^The bucket registry has no marker of this installation, .*start once as you did, with `--accept-store` added, then `npx wharfinger audit --adopt`/,
    );
    await open(true);
    expect(await reasons()).toEqual(["store-behind"]);
    await open();
  });

  test("another installation's is refused; beside an empty database the message says how to restore it", async () => {
    const other = randomUUID();
    await put(other, 7);
    await expect(open()).rejects.toThrow(
      `The database is empty, and the bucket registry belongs to the installation ${other}: its database is lost, or this is not its database. If it is lost, restore the newest snapshot with \`npx wharfinger restore-metadata --settings s.yaml\`.`,
    );
    await pushBlob(registry.push, "team/app");
    await expect(open()).rejects.toThrow(`The bucket registry belongs to the installation ${other}, and the database to `);
    expect(await names()).toHaveLength(1);
    expect((await installation()).counter).toBe(0);
    await open(true);
    expect((await names()).every((name) => !name.includes(other))).toBe(true);
    expect(await reasons()).toEqual(["store-behind"]);
  });

  test("two that use one store: who runs stops deleting, and who starts is refused", async () => {
    const marker = await open();
    const other = randomUUID();
    await put(other, 1);
    expect(await marker.raise()).toBe(false);
    expect(await reasons()).toEqual(["foreign-marker"]);
    await expect(open()).rejects.toThrow(/^Two installations use the bucket registry/);
  });
});
