import { expect, test } from "vitest";

import { howToApprove } from "../api/approval.ts";
import { adviceInCluster } from "./advice.ts";

test.each([
  [
    "To see why: `npx wharfinger get tagpolicy a/b`, or `npx wharfinger gc status`.",
    "To see why: `kubectl wharfinger get tagpolicy a/b`, or `kubectl wharfinger gc status`.",
  ],
  [
    "None waits: `npx wharfinger job prune --policy team-a/builds` makes a new one.",
    "None waits: `kubectl wharfinger reconcile retentionpolicy/builds -n team-a` makes a new one.",
  ],
  ["`npx wharfinger job tag-sync --policy a/b`", "`kubectl wharfinger reconcile tagpolicy/b -n a`"],
  [
    "restore it with `npx wharfinger restore-metadata --settings s.yaml`, then `npx wharfinger audit --adopt`",
    "restore it with `wharfinger restore-metadata --settings s.yaml`, then `kubectl wharfinger audit --adopt`",
  ],
  [
    `To approve it, ${howToApprove({ id: "p1", policy: "a/b" })}.`,
    "To approve it, set the annotation wharfinger.dev/approve-plan: p1 on RetentionPolicy a/b.",
  ],
  ["nothing to run", "nothing to run"],
])("%s", (message, inCluster) => {
  expect(adviceInCluster(message)).toBe(inCluster);
  expect(adviceInCluster(inCluster)).toBe(inCluster);
});
