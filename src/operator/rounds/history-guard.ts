// Is the branch still the one whose commit is published? A rewritten history or an emptied folder changes nothing by itself (design: record, "When Git is not well").

import { parsePath } from "../../record/layout.ts";
import type { GitRecord } from "../../record/repository.ts";
import type { HowToSay } from "../persons-word.ts";

export type HistoryVerdict =
  | { readonly state: "good" }
  /** The published commit is not here, and nothing was ever recorded here: a new repository beside an older registry. */
  | { readonly state: "new" }
  /** A person has to accept it; `message` says why and how. */
  | { readonly state: "waits"; readonly message: string };

const mostShare = 1 / 3;

/** `published`: the registry's revision, null when it has none (or lost its database). */
export async function guardHistory(record: GitRecord, published: string | null, howToSay: HowToSay): Promise<HistoryVerdict> {
  const { head } = record.view;
  const base = published ?? record.published;
  if (base === null || head === null || base === head) return { state: "good" };
  const ancestor = await record.isAncestor(base, head);
  const holdsSomething = [...record.view.blobs.keys()].some(counts);
  if (ancestor && holdsSomething) return { state: "good" };
  if (await accepted(record, base, head)) return { state: "good" };
  const accept = `to serve the branch as it is: ${howToSay("accept-revision", head)}`;
  // To take a branch back needs no key: what its signers changed since would be undone by nobody.
  if (!ancestor && record.verifies && !isNewRecord(record)) {
    const message = `the published revision ${base} is not in the record's history any more, and only what allowed signers add to it is followed`;
    return { state: "waits", message: `${message}: what is published stays; ${accept}` };
  }
  const before = await record.filesAt(base);
  if (before === undefined) {
    if (isNewRecord(record)) return { state: "new" };
    return {
      state: "waits",
      message: `the published revision ${base} is not in the record's history (an older copy?): what is published stays; ${accept}`,
    };
  }
  const files = [...before.keys()].filter(counts);
  // What the operator's own commits removed is meant.
  const missing = files.filter(
    (path) => !record.view.blobs.has(path) && record.history.lastChange(path)?.commit.installation !== record.installation,
  );
  const ledgers = missing.filter((path) => parsePath(path)?.type === "ledger");
  const emptied = missing.length > 0 && !holdsSomething;
  const torn = ledgers.length > 0 || missing.length > files.length * mostShare;
  if (ancestor ? !emptied : !torn) return { state: "good" };
  const what = ancestor ? "the record was emptied" : "the record's history was rewritten";
  const lost = `${missing.length} of ${files.length} files are missing${ledgers.length === 0 ? "" : `, ${ledgers.length} of them version ledgers`}`;
  const named = `${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}`;
  return { state: "waits", message: `${what}: ${lost} (${named}). What is published stays; ${accept}` };
}

/** Nothing was ever published from this repository, and it holds nothing yet. */
export function isNewRecord({ view, history, published }: GitRecord): boolean {
  return view.ledgers.size === 0 && history.memories().length === 0 && published === null;
}

/** A person named a commit of this branch that is not simply part of what was published: a new one, or the one to which the branch was taken back. */
async function accepted(record: GitRecord, base: string, head: string): Promise<boolean> {
  const { accepted: commit } = record.confirmations;
  if (commit === null || !(await record.isAncestor(commit, head))) return false;
  if (!(await record.isAncestor(commit, base))) return true;
  return !(await record.isAncestor(base, head)) && commit === (await record.forkPoint(base, head));
}

function counts(path: string): boolean {
  const type = parsePath(path)?.type;
  return type === "resource" || type === "ledger";
}
