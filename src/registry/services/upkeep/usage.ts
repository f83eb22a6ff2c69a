// GET repositories and usage: names, counts and bytes, of what the caller may pull.

import type { RepositoryView, StorageUsage } from "../../../api/control/contents.ts";
import { turns } from "../../../domain/turns.ts";
import type { Queryable } from "../../metadata/database.ts";
import { listRepositoryUsage, readStorageUsage } from "../../metadata/usage.ts";

const pageSize = 1_000;

/** Sorted by name. A repository that may not be pulled is left out as if it did not exist. Others have their turn between two. */
export async function listRepositories(database: Queryable, mayPull: (repository: string) => boolean): Promise<RepositoryView[]> {
  const found: RepositoryView[] = [];
  const turn = turns();
  for (let after = ""; ;) {
    const page = await listRepositoryUsage(database, { after, limit: pageSize });
    for (const one of page) {
      await turn();
      if (mayPull(one.name)) found.push(one);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return found;
    after = last.name;
  }
}

/** Bytes of the whole installation: for administrators. */
export function storageUsage(database: Queryable): Promise<StorageUsage> {
  return readStorageUsage(database);
}
