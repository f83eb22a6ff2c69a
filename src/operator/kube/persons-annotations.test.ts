// A person's word on the installation's ConfigMap, which goes when it was heard: on a real record, with an API server that does not let it go.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { createLogger } from "../../observability/logger.ts";
import { openRecord, type GitRecord } from "../../record/repository.ts";
import { installationName } from "./installation.ts";
import { KubeError } from "./errors.ts";
import type { KubeObject } from "./objects.ts";
import { PersonsAnnotations } from "./persons-annotations.ts";

const logger = createLogger({ level: "silent" });
let folder: string;
let record: GitRecord;
let head: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "wharfinger-annotations-"));
  record = await openRecord({ folder: join(folder, "record"), author: { name: "W", email: "w@localhost" }, logger });
  head = record.view.head ?? "";
});
afterEach(async () => {
  await record.close();
  rmSync(folder, { recursive: true, force: true });
});

function world() {
  const items = new Map<string, KubeObject>();
  const [confirmed, events]: [string[], string[]] = [[], []];
  /** The API server lets nobody write to the ConfigMap. */
  const state = { locked: false };
  let version = 0;
  const say = (annotations: Readonly<Record<string, string>>) => {
    const metadata = { name: installationName, namespace: "home", uid: "u", resourceVersion: String(++version), annotations };
    items.set(installationName, { metadata });
  };
  const subject = new PersonsAnnotations({
    client: {
      send: async <Answer>() => {
        if (state.locked) throw new KubeError(403, "admission webhook denied the request");
        say({});
        return {} as Answer;
      },
    },
    source: { configMaps: () => ({ items, onChange: () => () => undefined }) },
    record: {
      folder: record.folder,
      confirm: async (what, commit, namespace) => void confirmed.push(`${what} ${commit} ${namespace ?? "all"}`),
    },
    namespace: "home",
    events: { say: async (_, { reason }) => void events.push(reason) },
    logger,
  });
  return Object.assign(state, { confirmed, events, say, subject });
}

const word = (namespace: string) => ({ "wharfinger.dev/confirm-removal": `${head}/${namespace}` });

test("a word is told once, and its annotation goes", async () => {
  const heard = world();
  heard.say(word("team-a"));
  for (let looks = 0; looks < 3; looks++) await heard.subject.hear();
  expect([heard.confirmed, heard.events]).toEqual([[`removal ${head} team-a`], ["Heard"]]);
});

test("what cannot be taken away is no word at each look", async () => {
  const heard = world();
  heard.locked = true;
  heard.say(word("team-a"));
  for (let looks = 0; looks < 3; looks++) await heard.subject.hear();
  expect([heard.confirmed, heard.events]).toEqual([[`removal ${head} team-a`], []]);
  // Somebody else writes to the ConfigMap, and the word stays.
  heard.say({ ...word("team-a"), other: "x" });
  await heard.subject.hear();
  expect(heard.confirmed).toHaveLength(1);
  heard.say(word("team-b"));
  await heard.subject.hear();
  expect(heard.confirmed.slice(1)).toEqual([`removal ${head} team-b`]);
  heard.locked = false;
  await heard.subject.hear();
  expect([heard.confirmed.length, heard.events]).toEqual([2, ["Heard"]]);
  // It was heard: the same words mean what waits by now.
  heard.say(word("team-b"));
  await heard.subject.hear();
  expect(heard.confirmed.slice(2)).toEqual([`removal ${head} team-b`]);
});
