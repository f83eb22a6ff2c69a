// A retention plan for a person: keep or delete for every tag, by which rule and why, and what comes free. Pure text.

import { howToApprove } from "../../api/approval.ts";
import type { ApplyResult, Plan, PlanEntry } from "../../api/control/retention.ts";
import { bad, faint, good, table } from "../output.ts";
import { formatBytes } from "../../domain/bytes.ts";

/** `all`: also the untagged manifests that only follow what they belong to. */
export function renderPlan(plan: Plan, { all = false }: { all?: boolean } = {}): string {
  const shown = plan.entries.filter((entry) => all || !isFollower(entry));
  const hidden = plan.entries.length - shown.length;
  return [
    ...(shown.length === 0 ? [] : [table(["VERDICT", "IMAGE", "RULE", "FREES", "REASON"], shown.map(row)), ""]),
    ...(hidden === 0
      ? []
      : [faint(`${count(hidden, "child or referrer", "children and referrers")} that follow others are not listed (-o json has them).`)]),
    ...plan.notes.map((note) => faint(`Note: ${note}.`)),
    `${summarize(plan)}${actionOf(plan)}`,
    `Plan ${plan.id} of ${plan.policy}, made ${plan.createdAt}.`,
    ...(plan.blocked === undefined ? [] : [bad(`Stopped (${plan.blocked.reason}): ${plan.blocked.message}`)]),
    ...(plan.blocked?.reason === "LimitExceeded" && plan.action === "Delete" ? [`To approve it, ${howToApprove(plan)}.`] : []),
  ].join("\n");
}

/** What an apply did. */
export function renderApplied({ deleted, kept, proposals, bytes }: ApplyResult): string {
  const rows = [...deleted, ...kept].filter((entry) => entry.verdict === "keep" || !isFollower(entry)).map(row);
  const retired =
    proposals.length === 0 ? "" : ` ${count(proposals.length, "proposal", "proposals")} to retire versions: ${proposals.join(", ")}.`;
  const changed = kept.length === 0 ? "" : ` ${kept.length} stayed, because something changed since the plan.`;
  return [
    ...(rows.length === 0 ? [] : [table(["VERDICT", "IMAGE", "RULE", "FREES", "REASON"], rows), ""]),
    `${deleted.length} deleted, ${formatBytes(bytes)} come free.${changed}${retired}`,
  ].join("\n");
}

function row({ verdict, repository, tag, digest, rule, bytes, reason }: PlanEntry): readonly string[] {
  const image = tag === undefined ? `${repository}@${short(digest)}` : `${repository}:${tag}`;
  return [verdict === "keep" ? good("keep") : bad("delete"), image, rule, bytes === 0 ? "" : formatBytes(bytes), reason];
}

/** Its verdict is that of something else in the list. */
function isFollower({ tag, rule }: PlanEntry): boolean {
  return tag === undefined && rule.split(": ").at(-1) === "follows";
}

function summarize({ totals, entries }: Plan): string {
  const retire = entries.filter(({ version, verdict }) => version && verdict === "delete").length;
  const versions = retire === 0 ? "" : ` (${count(retire, "version", "versions")} to retire)`;
  return `${totals.kept} kept, ${totals.deleted} to delete${versions}, ${formatBytes(totals.bytes)} come free.`;
}

function actionOf({ action, totals }: Plan): string {
  if (totals.deleted === 0) return "";
  return action === "Plan" ? " The policy has action: Plan, so nothing is deleted." : " The next run deletes them.";
}

function short(digest: string): string {
  return digest.slice(0, digest.indexOf(":") + 13);
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
