// A commit that ends what a person had changed in Git is told where the resource is looked at (design: record, "One rule").

import { trailers } from "../../api/conditions.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import { parseKey } from "../../record/layout.ts";
import type { EventDraft } from "./events.ts";

/** Undefined for a commit that needs no event: what a resource says is in its conditions. */
export function eventOfCommit(
  id: string,
  { subject, body, trailers: told }: PlannedCommit,
): { readonly key: ResourceKey; readonly event: EventDraft } | undefined {
  const key = parseKey(told.find(([name]) => name === trailers.resource)?.[1] ?? "");
  const ending = /ends override .*$/.exec(subject)?.[0];
  if (key === undefined || ending === undefined) return undefined;
  return { key, event: { type: "Warning", reason: "OverrideEnded", note: `${ending}, in ${id.slice(0, 10)}. ${body}` } };
}
