// Plans that cost what a batch has, not what the tables have.

import { statement, type Queryable } from "./database.ts";

const byIndex = statement(
  "plans-by-index",
  `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
     set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true)`,
);

/**
 * For the rest of the transaction rows are looked up one by one, by an index: also by foreign keys. A session plans a statement once, and what is
 * right for a table of some thousand rows, or before it was counted, reads the whole table for each of a thousand batches when it is large. A table
 * whose rows have just been deleted looks empty: then any index seems as good as the right one, and a bitmap of all that is dead in it better. Nothing is
 * compiled either: before PostgreSQL 18 what is switched off makes the cheapest lookup look worth it.
 */
export async function planByIndex(transaction: Queryable): Promise<void> {
  await transaction.query(byIndex);
}
