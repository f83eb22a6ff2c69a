// TagPolicy: its versions in the record, and what its runs found.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { TagPolicySpec } from "../../api/kinds.ts";
import type { Ledger } from "../../domain/ledger.ts";
import { keyString, type ResourceKey } from "../../domain/resource.ts";
import { findByRepository, type UpstreamNames } from "../../domain/upstream-names.ts";
import { describeFailure, syncResultOf, type SyncResult } from "../runs/run-results.ts";
import type { RunState } from "../runs/run-states.ts";
import type { ConditionDraft } from "../status-store.ts";
import { lackAmong } from "./named-credentials.ts";
import { credentialsLoaded } from "./run-credentials.ts";
import { runDetails } from "./run-details.ts";
import type { Reconciler, ReportContext } from "./reconciler.ts";
import { anchorsOf } from "./trust-anchors.ts";
import { verifiedOf } from "./verified-condition.ts";

export const tagPolicyReconciler: Reconciler<"TagPolicy"> = {
  kind: "TagPolicy",
  report(key, spec, context) {
    // What it lacks of its Upstream's is that one's to tell.
    const lack = lackAmong(key, anchorsOf(key, spec, context), context);
    const runs = context.runsOf(key);
    const found = syncResultOf(runs?.last?.result);
    const ledgers = ledgersOf(key, spec, context);
    // Version tags that are served of the policy's images.
    const tags = ledgers.reduce((sum, ledger) => sum + Object.keys(ledger.tags).length, 0);
    return {
      ...(lack?.serves === false ? { notReady: lack.finding } : {}),
      // Where people look first, in every listing.
      ...(spec.verify.mode === "Unverified"
        ? { notes: [{ path: "spec.verify.mode", message: "Unverified, nobody's signature is checked" }] }
        : {}),
      conditions: [
        ...credentialsLoaded(key, spec, context),
        ...(runs?.last === undefined
          ? []
          : [verifiedOf(spec, runs.last, { found, ledgers }), syncedOf(runs.last, found), ...shadowedOf(tags, runs.last, found)]),
      ],
      details: {
        images: { total: spec.images.length, ...(found === undefined ? {} : { failed: found.failed }) },
        tags,
        ...(found === undefined || found.failures.length === 0 ? {} : { failures: found.failures }),
        ...runDetails(runs),
      },
    };
  },
};

type LastRun = NonNullable<RunState["last"]>;

function syncedOf({ succeeded, message }: LastRun, found: SyncResult | undefined): ConditionDraft {
  const type = conditionTypes.synced;
  if (!succeeded) return { type, status: "False", reason: reasons.runFailed, message };
  const [first] = found?.failures ?? [];
  if (found === undefined || found.failed === 0) return { type, status: "True", reason: reasons.succeeded, message };
  const why = first === undefined ? "" : `; ${describeFailure(first)}`;
  return { type, status: "False", reason: reasons.imagesFailed, message: `${message}${why}` };
}

/** Tags that the condition names; the run's result has more. */
const named = 3;

/** Here while upstream has such tags, or while a policy with `tags` in service cannot know it: silence of upstream is no answer. */
function shadowedOf(tags: number, { succeeded, message }: LastRun, found: SyncResult | undefined): ConditionDraft[] {
  const type = conditionTypes.shadowed;
  const { shadowed } = found ?? {};
  const unknown = shadowed?.unknown;
  if (shadowed !== undefined && shadowed.total > 0) {
    const listed = shadowed.tags.slice(0, named);
    const more = shadowed.total - listed.length;
    const names = `${listed.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
    const rest = unknown === undefined ? "" : `; of ${imagesOf(unknown.images)} it is not known: ${unknown.message}`;
    const told = `upstream has ${shadowed.total === 1 ? "a tag" : `${shadowed.total} tags`} of the same name as a minted one, and the minted one is served: ${names}${rest}`;
    return [{ type, status: "True", reason: reasons.mintedTagWins, message: told }];
  }
  if (unknown !== undefined) {
    const told = `whether upstream has tags of the same names is not known of ${imagesOf(unknown.images)}: ${unknown.message}`;
    return [{ type, status: "Unknown", reason: reasons.tagsUnknown, message: told }];
  }
  return succeeded || tags === 0 ? [] : [{ type, status: "Unknown", reason: reasons.runFailed, message }];
}

const imagesOf = (count: number) => (count === 1 ? "1 image" : `${count} images`);

/** Of the policy's images. */
function ledgersOf(key: ResourceKey, spec: TagPolicySpec, { view }: ReportContext): readonly Ledger[] {
  const file = view.resources.get(keyString({ kind: "Upstream", namespace: key.namespace, name: spec.upstreamRef.name }));
  if (file?.spec === undefined) return [];
  return spec.images.flatMap(({ repository }) => {
    const recorded = view.ledgers.get(findByRepository(file.spec as UpstreamNames, repository)?.name ?? "");
    return recorded === undefined ? [] : [recorded.ledger];
  });
}
