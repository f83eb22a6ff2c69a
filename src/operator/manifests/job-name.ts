// What a Job is called: the same for everybody who wants the same run of the same policy, so that two leaders make one (design: operator, "Jobs").

import { createHash } from "node:crypto";

import type { ScheduledJob } from "../ports.ts";

/** The name of a Job is a label of its Pods, and with six more characters a Pod's host name: a DNS label of at most 63. */
const longestName = 57;
/** More than 80 bits: nobody finds another policy whose Jobs have the names of somebody else's. */
const digits = 16;

/** `<policy>-<slot>`. Policies of other namespaces and kinds have the same name, and a name may be long: a hash says which it is. */
export function jobName({ kind, policy, slot }: Pick<ScheduledJob, "kind" | "policy" | "slot">): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([kind, policy]))
    .digest("hex");
  const which = BigInt(`0x${hash}`).toString(36).slice(-digits);
  const end = `-${which}-${slot}`;
  const name = policy
    .slice(policy.indexOf("/") + 1)
    .replaceAll(".", "-")
    .slice(0, longestName - end.length);
  return `${name}${end}`;
}
