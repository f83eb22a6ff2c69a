// What `#failpoints` is with `--conditions=failpoints`: a process does at its failpoints what FAILPOINT says, and a test in the same process
// what its observer says.

import { AsyncLocalStorage } from "node:async_hooks";
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import type { Failpoint } from "./names.ts";
import { readOrders, type Order } from "./orders.ts";

/** Hears of every failpoint that its work reaches; the work goes on when the promise resolves, and fails as it fails. */
export type Observer = (name: Failpoint) => Promise<void> | void;

const observers = new AsyncLocalStorage<Observer>();
const orders = readOrders(process.env.FAILPOINT ?? "");
const done = new Map<Failpoint, number>();

export function failpoint(name: Failpoint): Promise<void> | undefined {
  const observer = observers.getStore();
  const order = orders.get(name);
  if (observer === undefined && order === undefined) return undefined;
  return meet(name, observer, order);
}

/** Runs `work` such that `observer` hears of the failpoints that it reaches, and nobody else's. */
export function observed<T>(observer: Observer, work: () => Promise<T>): Promise<T> {
  return observers.run(observer, work);
}

async function meet(name: Failpoint, observer: Observer | undefined, order: Order | undefined): Promise<void> {
  await observer?.(name);
  if (order === undefined || Math.random() * 100 >= order.percent) return;
  const before = done.get(name) ?? 0;
  if (before >= order.times) return;
  done.set(name, before + 1);
  await obey(name, order.action);
}

async function obey(name: Failpoint, action: Order["action"]): Promise<void> {
  const released = action === "pause" ? new Promise<void>((resolve) => process.once("SIGUSR2", () => resolve())) : undefined;
  // Written before anything else can happen: who waits for this line knows that the point was reached.
  writeSync(process.stderr.fd, `failpoint ${name}: ${typeof action === "string" ? action : `sleep ${action.sleep} ms`}\n`);
  if (typeof action !== "string") return sleep(action.sleep);
  switch (action) {
    case "kill":
      process.kill(process.pid, "SIGKILL");
      return new Promise(() => undefined);
    case "error":
      throw new Error(`failpoint ${name}`);
    case "pause":
      return released;
  }
}
