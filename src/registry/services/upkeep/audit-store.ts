// Invariant 4: objects in the store are the rows that the database has of them, no more and no fewer.

import { findObjects, listLiveObjects, type ObjectRow } from "../../metadata/audit.ts";
import { mendCopy, mendUnknown } from "./audit-repair.ts";
import type { AuditContext, AuditedStore, AuditFinding, AuditStep, Mended } from "./audit-step.ts";
import { isStored } from "./stored-object.ts";

const pageSize = 1_000;

interface Listed {
  readonly key: string;
  /** Bytes; a bucket does not say how many of an unfinished one. */
  readonly size: number;
  readonly modified: Date;
  readonly finished: boolean;
}

interface Judged {
  readonly finding: AuditFinding;
  readonly mend?: () => Promise<Mended>;
}

/** Lists the store, then asks the database. Keys stay in memory: about 100 bytes an object. */
export async function* auditStore(context: AuditContext): AsyncGenerator<AuditStep> {
  const finished = new Set<string>();
  const unknown = new Map<string, { readonly listed: Listed; readonly finding: AuditFinding }>();
  let done = 0;
  for await (const page of pages(context.store)) {
    for (const { key, finished: whole } of page) if (whole) finished.add(key);
    done += page.length;
    yield { step: "store", done, total: done };
    for (const { listed, finding, known } of await judgePage(context, page)) {
      if (known) yield { finding };
      else unknown.set(listed.key, { listed, finding });
    }
  }
  yield { checked: { objects: done } };
  const outnumbered = unknown.size > done / 2;
  for (const { listed, finding } of unknown.values()) yield { finding, mend: () => mendUnknown(context, listed, { outnumbered }) };
  for (let after = ""; ;) {
    const rows = await listLiveObjects(context.database, { after, limit: pageSize });
    yield* await missing(context, rows, finished);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.key;
  }
}

async function* pages(store: AuditedStore): AsyncGenerator<readonly Listed[]> {
  let page: Listed[] = [];
  for await (const object of store.list()) {
    page.push(object);
    if (page.length < pageSize) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/** What was listed and is not, or not like this, in the database. */
async function judgePage(
  { database, store }: AuditContext,
  page: readonly Listed[],
): Promise<readonly { readonly listed: Listed; readonly finding: AuditFinding; readonly known: boolean }[]> {
  const first = await findObjects(
    database,
    page.map(({ key }) => key),
  );
  const suspicious = page.filter((listed) => complaint(listed, first.get(listed.key)) !== undefined);
  if (suspicious.length === 0) return [];
  const again = await findObjects(
    database,
    suspicious.map(({ key }) => key),
  );
  const judged: { listed: Listed; finding: AuditFinding; known: boolean }[] = [];
  for (const listed of suspicious) {
    const row = again.get(listed.key);
    const complained = complaint(listed, row);
    if (complained === undefined) continue;
    // Since it was listed the collector may have deleted it, and an upload may have become whole.
    const there = await isStored(store, listed.key);
    if (there === listed.finished) judged.push({ listed, finding: { subject: listed.key, ...complained }, known: row !== undefined });
  }
  return judged;
}

function complaint({ size, finished }: Listed, row: ObjectRow | undefined): Omit<AuditFinding, "subject"> | undefined {
  if (row === undefined) {
    const found = finished ? `whole, size ${size}` : "unfinished";
    return { invariant: 4, message: `is in the store (${found}), and the database does not know it` };
  }
  if (row.state !== "live") return undefined; // on its way in or out
  if (!finished) return { invariant: 4, message: "is live in the database, and unfinished in the store" };
  if (row.size !== size) return { invariant: 5, message: `has ${size} bytes in the store, and ${row.size ?? "no"} bytes in the database` };
  return row.digest === null ? { invariant: 4, message: "is live, and no blob has its bytes there" } : undefined;
}

/** Live in the database and not in the store: what came after the listing is there now. */
async function missing(context: AuditContext, rows: readonly ObjectRow[], listed: ReadonlySet<string>): Promise<readonly Judged[]> {
  const { database, store } = context;
  const judged: Judged[] = [];
  for (const { key } of rows) {
    if (listed.has(key) || (await isStored(store, key))) continue;
    const row = (await findObjects(database, [key])).get(key);
    if (row?.state !== "live") continue;
    const { digest, cached } = row;
    if (digest === null) {
      judged.push({ finding: { invariant: 4, subject: key, message: `has its bytes under ${key}, which is not in the store` } });
      continue;
    }
    const message = `${cached === true ? "is a cached copy, and " : ""}has its bytes under ${key}, which is not in the store`;
    const mend = cached === true ? { mend: () => mendCopy(context, { digest, key }) } : {};
    judged.push({ finding: { invariant: 1, subject: digest, message }, ...mend });
  }
  return judged;
}
