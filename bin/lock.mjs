// One installation or build at a time on a checkout. Plain Node: a file that its owner touches every second, so that the lock
// of a process that died (or of a container that is gone) is recognised by its age and not by a number that others may bear.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { root } from "./node-version.mjs";

const heartbeat = 1000;
const staleAfter = 10_000;

/** Runs `work` while no other process does; `onWait` is called once when there is one. */
export async function exclusively(work, { folder = join(root, ".cache"), onWait = () => {} } = {}) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "bootstrap.lock");
  const token = `${process.pid} ${Date.now()} ${Math.random()}`;
  for (let waited = false; !take(file, token); waited = true) {
    if (!waited) onWait();
    await sleep(200);
  }
  const beat = setInterval(() => touch(file), heartbeat);
  const release = () => read(file) === token && rmSync(file, { force: true });
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    process.off("exit", release);
    release();
  }
}

function take(file, token) {
  try {
    writeFileSync(file, token, { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  removeStale(file);
  return false;
}

function removeStale(file) {
  const judged = read(file);
  if (judged === undefined || age(file) < staleAfter) return;
  // Taken away under a name of our own: if somebody was faster, what we hold is their fresh lock, and they get it back.
  const mine = `${file}.${process.pid}`;
  try {
    renameSync(file, mine);
    if (read(mine) !== judged) linkSync(mine, file);
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "EEXIST") throw error;
  }
  rmSync(mine, { force: true });
}

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function age(file) {
  try {
    return Date.now() - statSync(file).mtimeMs;
  } catch {
    return 0;
  }
}

function touch(file) {
  try {
    const now = new Date();
    utimesSync(file, now, now);
  } catch {
    // removed by hand: the work goes on, and nothing is left to release
  }
}
