// Which process does what one process does for all of them.

import { statement, type Queryable } from "./database.ts";

const take = statement(
  "turn-take",
  `INSERT INTO turns (name, holder, until) VALUES ($1, $2, now() + $3 * interval '1 millisecond')
   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
   WHERE turns.holder = excluded.holder OR turns.until < now()
   RETURNING holder`,
);
const giveBack = statement("turn-give-back", "DELETE FROM turns WHERE name = $1 AND holder = $2");

/** Takes or keeps the turn for `milliseconds`. False: another process has it. */
export async function takeTurn(
  queryable: Queryable,
  { name, holder, milliseconds }: { readonly name: string; readonly holder: string; readonly milliseconds: number },
): Promise<boolean> {
  return (await queryable.query(take, [name, holder, milliseconds])).length > 0;
}

export async function giveBackTurn(
  queryable: Queryable,
  { name, holder }: { readonly name: string; readonly holder: string },
): Promise<void> {
  await queryable.execute(giveBack, [name, holder]);
}
