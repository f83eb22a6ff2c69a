// The effective configuration of one view of the record, in Git's order: what the registry is asked to serve.

import { reasons } from "../../api/conditions.ts";
import type { RecordedResource } from "../../api/control/record.ts";
import { keyString, type ResourceKey } from "../../domain/resource.ts";
import type { History } from "../../record/history.ts";
import type { RecordedFile, RecordView } from "../../record/record-view.ts";
import { findConflicts, type JudgedResource } from "../../validation/conflicts.ts";
import { notImplemented } from "../../validation/not-implemented.ts";
import type { Specs } from "../../api/kinds.ts";
import { crowdedMessage, findCrowded } from "./crowding.ts";
import { refuseGrant, type Grants } from "./grants.ts";

export interface ServedRecord {
  readonly resources: readonly RecordedResource[];
  /** Why files of the record are not served. */
  readonly withheld: ReadonlyMap<string, { readonly reason: string; readonly message: string }>;
}

/** Content from Git passes the same rules as content from the API: grants, what is built, and what may not be beside others. */
export function servedRecord(
  view: RecordView,
  history: History,
  options: { grants: Grants; suspended: (key: ResourceKey) => boolean },
): ServedRecord {
  const withheld = new Map<string, { reason: string; message: string }>();
  const granted = filesInOrder(view).filter((file) => {
    const refusal = refuse(file, options.grants);
    if (refusal !== undefined) withheld.set(keyString(file.key), refusal);
    return refusal === undefined;
  });
  const crowded = findCrowded(granted.map(judged), options.grants);
  for (const id of crowded) withheld.set(id, { reason: reasons.notGranted, message: crowdedMessage });
  const candidates = granted.filter(({ key }) => !crowded.has(keyString(key)));
  for (const conflict of findConflicts(candidates.map(judged))) {
    // A policy that lost an image or its Upstream still counts for the rest: its versions stay until they are retired.
    if (conflict.resource.kind === "Upstream") withheld.set(keyString(conflict.resource), conflict);
  }
  const resources = candidates
    .filter(({ key }) => !withheld.has(keyString(key)))
    .map(({ key, revision, spec }) => ({
      kind: key.kind,
      namespace: key.namespace,
      name: key.name,
      generation: history.memoryOf(key)?.generation ?? 1,
      revision: revision.id,
      spec,
      suspend: options.suspended(key),
    }));
  return { resources, withheld };
}

/** Files with content, the one recorded first first. */
export function filesInOrder(view: RecordView): readonly RecordedFile[] {
  return [...view.resources.values()]
    .filter(({ spec }) => spec !== undefined)
    .sort((a, b) => a.recordedAt - b.recordedAt || (a.path < b.path ? -1 : 1));
}

export function judged({ key, spec }: { readonly key: ResourceKey; readonly spec: unknown }): JudgedResource {
  return { ...key, spec } as JudgedResource;
}

function refuse({ key, spec }: RecordedFile, grants: Grants): { reason: string; message: string } | undefined {
  const grant = refuseGrant(grants, key, spec);
  if (grant !== undefined) return { reason: "NotGranted", message: grant.message };
  const [missing] = notImplemented(key.kind, spec as Specs[typeof key.kind]).stalled;
  return missing === undefined ? undefined : { reason: "NotImplemented", message: `${missing.path}: ${missing.message}` };
}
