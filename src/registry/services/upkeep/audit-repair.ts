// What an audit may mend, when it is asked to: what nobody can miss. A pushed blob that lost its bytes is not among it.

import type { Digest } from "../../../domain/digest.ts";
import { countUsageAgain, findObjects } from "../../metadata/audit.ts";
import { forgetCopy } from "../../metadata/forget-copy.ts";
import { readGcPauses } from "../../metadata/gc-pauses.ts";
import { findRepository } from "../../metadata/repositories.ts";
import { takeTurnOnUsage } from "../../metadata/usage.ts";
import type { AuditContext, Mended } from "./audit-step.ts";

/** What is younger may belong to a write that this audit has not seen the end of, or to a database that is about to be restored. */
const unknownFor = 7 * 24 * 3_600_000;

/** The copy's bytes are lost or wrong: it is forgotten, and fetched when somebody asks. */
export async function mendCopy({ database }: AuditContext, blob: { readonly digest: Digest; readonly key: string }): Promise<Mended> {
  return (await forgetCopy(database, blob.digest, blob.key)) ? { repaired: "forgotten; the next pull fetches it again" } : undefined;
}

/** What its limit goes by is what the repository holds again. */
export async function mendUsage({ database }: AuditContext, repository: string): Promise<Mended> {
  return database.transaction(async (transaction) => {
    const found = await findRepository(transaction, repository);
    if (found === undefined) return undefined;
    await takeTurnOnUsage(transaction, found.id);
    await countUsageAgain(transaction, repository);
    return { repaired: "counted again" };
  });
}

/** `outnumbered`: there are more unknown keys than known ones. That is another installation's bucket, or a database that lost its rows. */
export async function mendUnknown(
  context: AuditContext,
  { key, modified }: { readonly key: string; readonly modified: Date },
  { outnumbered }: { readonly outnumbered: boolean },
): Promise<Mended> {
  const { database, store, now = Date.now } = context;
  if (outnumbered) return { refused: "not deleted: most keys of this store are unknown, so the database may be the wrong one" };
  const [pause] = await readGcPauses(database);
  if (pause !== undefined) return { refused: `not deleted while deletions are paused (${pause.reason})` };
  if (now() - modified.getTime() < unknownFor) return { refused: "not deleted: it is younger than 7 days" };
  if ((await findObjects(database, [key])).has(key)) return undefined;
  const error = (await store.delete([key])).get(key);
  return error === undefined ? { repaired: "deleted" } : { refused: `not deleted: ${error.message}` };
}
