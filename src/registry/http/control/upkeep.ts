// What keeps the store whole: audit, adoption, snapshots, the collector.

import { AdoptLine, AuditLine, AuditRequest } from "../../../api/control/audit.ts";
import { BackupLine, ListedSnapshot } from "../../../api/control/backup.ts";
import { GcResumed, GcStatus } from "../../../api/control/gc.ts";
import { list, withBody, type ControlRoute } from "./route.ts";

export const upkeepRoutes: readonly ControlRoute[] = [
  withBody({
    method: "POST",
    path: "audit",
    writes: "Nothing",
    summary: "Check the invariants of storage; lines of progress, then the report",
    who: "admin",
    body: AuditRequest,
    answer: AuditLine,
    lines: true,
    handle: ({ body, patience }, { audit }) => audit(body, patience.signal),
  }),
  {
    method: "POST",
    path: "adopt",
    summary:
      "After a restore: go over what is missing and what is unknown in the store, then let the collector go on; lines of progress, then the report",
    who: "admin",
    answer: AdoptLine,
    lines: true,
    handle: ({ patience, caller }, { adopt }) => adopt(patience.signal, caller),
  },
  {
    method: "GET",
    path: "backup",
    summary: "Snapshots of the metadata in the store, newest first",
    who: "admin",
    answer: list(ListedSnapshot),
    handle: (_, { backup }) => backup.list(),
  },
  {
    method: "POST",
    path: "backup",
    summary: "Take a snapshot of the metadata now; lines of progress, then the snapshot",
    who: "admin",
    answer: BackupLine,
    lines: true,
    handle: (_, { backup }) => backup.now(),
  },
  {
    method: "GET",
    path: "gc",
    summary: "What the collector has before it",
    who: "admin",
    answer: GcStatus,
    handle: (_, { gc }) => gc.status(),
  },
  {
    method: "POST",
    path: "gc/resume",
    summary: "Release the brake: what is doomed by now may be deleted for good",
    who: "admin",
    writes: "TakeAway",
    answer: GcResumed,
    handle: ({ caller }, { gc }) => gc.resume(caller),
  },
];
