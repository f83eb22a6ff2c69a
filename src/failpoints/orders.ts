// The language of the variable FAILPOINT: `U2.committed:kill`, several with `;`. A share of the times with `5%kill`, the first ones with `3*error`.

import { failpoints, type Failpoint } from "./names.ts";

export interface Order {
  readonly action: "kill" | "error" | "pause" | { readonly sleep: number };
  /** 0 to 100: of how many in a hundred times. */
  readonly percent: number;
  /** Times that it is done; after that the point is passed. */
  readonly times: number;
}

const form = /^(?:(\d{1,3})%)?(?:(\d{1,9})\*)?(?:(kill|error|pause)|sleep\((\d{1,9})\))$/;

/** Throws for what it does not understand: a test that armed nothing would prove nothing. */
export function readOrders(text: string): ReadonlyMap<Failpoint, Order> {
  const orders = text.split(";").filter((part) => part.trim() !== "");
  return new Map(orders.map((part) => readOrder(part.trim())));
}

function readOrder(text: string): [Failpoint, Order] {
  const colon = text.indexOf(":");
  const name = failpoints.find((known) => known === text.slice(0, colon));
  if (name === undefined) throw new Error(`FAILPOINT: "${text}" names no failpoint. There are: ${failpoints.join(", ")}`);
  const found = form.exec(text.slice(colon + 1));
  if (found === null) throw new Error(`FAILPOINT: "${text}" does not end with kill, error, pause or sleep(<milliseconds>)`);
  const [, percent = "100", times = "Infinity", word, milliseconds] = found;
  const action = word === undefined ? { sleep: Number(milliseconds) } : (word as "kill" | "error" | "pause");
  return [name, { action, percent: Number(percent), times: Number(times) }];
}
