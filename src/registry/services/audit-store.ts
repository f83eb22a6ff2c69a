// Invariant 4: objects in the store are the rows that the database has of them, no more and no fewer.

import { BlobStoreError } from "../blobs/blob-store.ts";
import { findObjects, listLiveObjects, type ObjectRow } from "../metadata/audit.ts";
import type { AuditContext, AuditedStore, AuditFinding, AuditStep } from "./audit-step.ts";

const pageSize = 1_000;

interface Listed {
  readonly key: string;
  readonly size: number;
  readonly finished: boolean;
}

/** Lists the store, then asks the database. Keys stay in memory: about 100 bytes an object. */
export async function* auditStore(context: AuditContext): AsyncGenerator<AuditStep> {
  const finished = new Set<string>();
  let done = 0;
  for await (const page of pages(context.store)) {
    for (const { key, finished: whole } of page) if (whole) finished.add(key);
    done += page.length;
    yield { step: "store", done, total: done };
    for (const finding of await judgePage(context, page)) yield { finding };
  }
  yield { checked: { objects: done } };
  for (let after = ""; ;) {
    const rows = await listLiveObjects(context.database, { after, limit: pageSize });
    for (const finding of await missing(context, rows, finished)) yield { finding };
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
async function judgePage({ database, store }: AuditContext, page: readonly Listed[]): Promise<readonly AuditFinding[]> {
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
  const findings: AuditFinding[] = [];
  for (const listed of suspicious) {
    const complained = complaint(listed, again.get(listed.key));
    if (complained === undefined) continue;
    // Since it was listed the collector may have deleted it, and an upload may have become whole.
    const there = await isThere(store, listed.key);
    if (there === listed.finished) findings.push({ subject: listed.key, ...complained });
  }
  return findings;
}

function complaint({ size, finished }: Listed, row: ObjectRow | undefined): Omit<AuditFinding, "subject"> | undefined {
  if (row === undefined) {
    const found = `${finished ? "whole" : "unfinished"}, size ${size}`;
    return { invariant: 4, message: `is in the store (${found}), and the database does not know it` };
  }
  if (row.state !== "live") return undefined; // on its way in or out
  if (!finished) return { invariant: 4, message: "is live in the database, and unfinished in the store" };
  if (row.size !== size) return { invariant: 5, message: `has ${size} bytes in the store, and ${row.size ?? "no"} bytes in the database` };
  return row.digest === null ? { invariant: 4, message: "is live, and no blob has its bytes there" } : undefined;
}

/** Live in the database and not in the store: what came after the listing is there now. */
async function missing(
  { database, store }: AuditContext,
  rows: readonly ObjectRow[],
  listed: ReadonlySet<string>,
): Promise<readonly AuditFinding[]> {
  const findings: AuditFinding[] = [];
  for (const { key } of rows) {
    if (listed.has(key) || (await isThere(store, key))) continue;
    const row = (await findObjects(database, [key])).get(key);
    if (row?.state !== "live") continue;
    const subject = row.digest ?? key;
    findings.push({ invariant: row.digest === null ? 4 : 1, subject, message: `has its bytes under ${key}, which is not in the store` });
  }
  return findings;
}

async function isThere(store: AuditedStore, key: string): Promise<boolean> {
  try {
    const reader = await store.open(key);
    await reader.close();
    return true;
  } catch (error) {
    if (error instanceof BlobStoreError && error.code === "NotFound") return false;
    throw error;
  }
}
