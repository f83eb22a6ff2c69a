import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";

import { eventually } from "../../test/support/eventually.ts";
import { KubeletMount } from "../../test/support/kubelet-mount.ts";
import { openMountedSecrets, type MountedSecrets } from "./mounted-secrets.ts";

const log: string[] = [];
const logger = pino({ level: "trace" }, { write: (line: string) => void log.push(line) });
let folder: string;
const opened: MountedSecrets[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-mounted-"));
});
afterEach(async () => {
  for (const secrets of opened.splice(0)) secrets.close();
  await rm(folder, { recursive: true, force: true });
  log.length = 0;
});

async function open(): Promise<MountedSecrets> {
  const secrets = await openMountedSecrets(folder, { logger });
  opened.push(secrets);
  return secrets;
}

const password = (secrets: MountedSecrets, name = "pull") => {
  const bytes = secrets.secret("team-a", name)?.get("password");
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
};

test("a mount that is swapped is read anew as a whole; who is as he was is the same object; who is gone is gone", async () => {
  const mount = await KubeletMount.make(folder);
  await mount.write({ ".salt": "s", "team-a_pull_password": "canary-1", "team-a_other_password": "canary-o" });
  const secrets = await open();
  const [hash, other] = [secrets.loaded?.(), secrets.secret("team-a", "other")];
  expect([password(secrets), hash]).toEqual(["canary-1", expect.stringMatching(/^[0-9a-f]{64}$/)]);
  let heard = 0;
  secrets.onChange(() => heard++);

  await mount.write({ ".salt": "s", "team-a_pull_password": "canary-2", "team-a_other_password": "canary-o" });
  await eventually(() => expect(password(secrets)).toBe("canary-2"));
  expect(secrets.secret("team-a", "other")).toBe(other);
  expect(secrets.loaded?.()).not.toBe(hash);
  expect(heard).toBe(1);

  await mount.write({ ".salt": "s", "team-a_other_password": "canary-o" });
  await eventually(() => expect(secrets.secret("team-a", "pull")).toBeUndefined());
  expect(password(secrets, "other")).toBe("canary-o");
});

test("a Secret and a ConfigMap of one name are two, and nobody has another namespace's", async () => {
  const mount = await KubeletMount.make(folder);
  await mount.write({ "team-a_x_k": "canary-secret", "ConfigMap_team-a_x_k": "map", "team-b_y_k": "b" });
  const secrets = await open();
  const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
  expect(text(secrets.secret("team-a", "x")?.get("k"))).toBe("canary-secret");
  expect(text(secrets.configMap("team-a", "x")?.get("k"))).toBe("map");
  expect([secrets.secret("team-a", "y"), secrets.secret("team-b", "x"), secrets.configMap("team-b", "y")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  // Nobody has salted it: nobody compares.
  expect(secrets.loaded?.()).toBeUndefined();
});

test("what nobody can read changes nothing, is said once, and is over when it was mended", async () => {
  const mount = await KubeletMount.make(folder);
  await mount.write({ "team-a_pull_password": "canary-1" });
  const secrets = await open();
  await mount.write({ password: "canary-2" });
  await eventually(() => expect(log.filter((line) => line.includes("secrets stay as they were"))).toHaveLength(1));
  expect(password(secrets)).toBe("canary-1");
  expect(log.join("")).not.toContain("canary");
  await mount.write({ "team-a_pull_password": "canary-3" });
  await eventually(() => expect(password(secrets)).toBe("canary-3"));
});

test("a folder that somebody edits by hand counts too", async () => {
  await writeFile(join(folder, "team-a_pull_password"), "canary-1");
  const secrets = await open();
  await writeFile(join(folder, "team-a_pull_password"), "canary-2");
  await eventually(() => expect(password(secrets)).toBe("canary-2"));
});
