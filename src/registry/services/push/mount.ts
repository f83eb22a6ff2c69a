// Mounting: the right to a blob that another repository has, without sending it again (distribution spec, "Mounting a blob"; storage.md, U3).

import { failpoint } from "#failpoints";

import type { Digest } from "../../../domain/digest.ts";
import { claimBlob, listBlobHolders, mountBlob } from "../../metadata/blobs.ts";
import { isForeignKeyViolation, type Database } from "../../metadata/database.ts";
import { ensureOwnRepository } from "./own-repository.ts";
import { refuseGrowth, unlimited, type BytesAllowed } from "./repository-limits.ts";

const page = 100;
/** Holders looked through for one that the caller may read, when the client names none. */
const mostHolders = 1_000;

export interface MountOptions {
  readonly digest: Digest;
  /** Undefined: any repository that `readable` allows. */
  readonly from?: string;
  readonly readable: (repository: string) => boolean;
}

/** True when `repository` may read the blob now; false: upload it. Throws DENIED when it has no room. */
export async function mount(
  { database, bytesAllowed = unlimited }: { readonly database: Database; readonly bytesAllowed?: BytesAllowed },
  repository: string,
  options: MountOptions,
): Promise<boolean> {
  const { digest } = options;
  if ((await claimBlob(database, repository, digest)) !== undefined) return true;
  const from = options.from === undefined ? await findHolder(database, options) : options.readable(options.from) ? options.from : undefined;
  if (from === undefined) return false;
  try {
    await database.transaction(async (transaction) => {
      const { id } = await ensureOwnRepository(transaction, repository);
      await failpoint("U3.mounting");
      if (!(await mountBlob(transaction, id, from, digest))) throw new NotThere();
      await failpoint("U3.mounted");
      await refuseGrowth(transaction, bytesAllowed, { id, name: repository });
    });
    await failpoint("U3.mountCommitted");
    return true;
  } catch (error) {
    // It was collected at this moment, or never there; the transaction is gone with the repository it may have made.
    if (error instanceof NotThere || isForeignKeyViolation(error)) return false;
    throw error;
  }
}

class NotThere extends Error {}

async function findHolder(database: Database, { digest, readable }: MountOptions): Promise<string | undefined> {
  let after = "";
  for (let seen = 0; seen < mostHolders; seen += page) {
    const names = await listBlobHolders(database, digest, { after, limit: page });
    const found = names.find((name) => readable(name));
    if (found !== undefined || names.length < page) return found;
    after = names.at(-1)!;
  }
  return undefined;
}
