// `wharfinger audit`: the checker of storage.md's invariants 1, 3, 4, 5 and 6. Online: it lists the store first, then asks the database, in plain
// SELECTs and pages; what looks wrong is looked at again before it is reported, because pushes and the collector go on meanwhile.

import type { AuditLine, AuditRequest } from "../../../api/control/audit.ts";
import { findContradictions, mostContradictions, questions, readAuditCounts } from "../../metadata/audit.ts";
import { auditBlobs, auditManifests, auditSample } from "./audit-contents.ts";
import { mendUsage } from "./audit-repair.ts";
import type { AuditContext, AuditFinding, AuditStep, Mended } from "./audit-step.ts";
import { auditStore } from "./audit-store.ts";
import { ListedFindings } from "./listed-findings.ts";

const progressEvery = 250;

/**
 * Progress, then the report as the last line. `deep` reads and hashes every object, not a sample, and reads every manifest again; one buffer of
 * memory. `repair` mends what can be mended, each finding as it is found.
 */
export async function* audit(context: AuditContext, { deep, repair = false }: AuditRequest): AsyncGenerator<AuditLine> {
  const findings = new ListedFindings();
  const checked = { ...(await readAuditCounts(context.database)), objects: 0, hashed: 0 };
  const pace = paced();
  const parts = [
    auditStore(context),
    auditRows(context),
    ...(deep ? [auditManifests(context), auditBlobs(context)] : [auditSample(context)]),
  ];
  for (const part of parts) {
    for await (const said of part) {
      context.signal.throwIfAborted();
      if ("finding" in said) findings.add(repair ? await mended(said) : said.finding);
      else if ("cut" in said) findings.cut();
      else if ("checked" in said) Object.assign(checked, said.checked);
      else if (pace(said)) yield { progress: said };
    }
  }
  yield { report: { deep, checked, ...findings.report() } };
}

async function mended({ finding, mend }: AuditStep & { finding: AuditFinding; mend?: () => Promise<Mended> }): Promise<AuditFinding> {
  const done = await mend?.();
  if (done === undefined) return finding;
  return "repaired" in done ? { ...finding, ...done } : { ...finding, message: `${finding.message}; ${done.refused}` };
}

/** Every step is announced, and then a few times a second. */
function paced(): (progress: { readonly step: string }) => boolean {
  let last = { step: "", at: 0 };
  return ({ step }) => {
    const now = performance.now();
    if (step === last.step && now - last.at < progressEvery) return false;
    last = { step, at: now };
    return true;
  };
}

async function* auditRows(context: AuditContext): AsyncGenerator<AuditStep> {
  const { database } = context;
  for (const [index, question] of questions.entries()) {
    yield { step: `rows: ${question.step}`, done: index, total: questions.length };
    const found = await findContradictions(database, question);
    if (found.length === 0) continue;
    if (found.length === mostContradictions) yield { cut: true };
    const again = new Set((await findContradictions(database, question)).map(({ subject, message }) => `${subject} ${message}`));
    const lasting = found.filter(({ subject, message }) => again.has(`${subject} ${message}`));
    for (const { subject, message } of lasting) {
      const mend = question.step === "usage" ? { mend: () => mendUsage(context, subject) } : {};
      yield { finding: { invariant: question.invariant, subject, message }, ...mend };
    }
  }
}
