// What the queries of this room are written against.

/** One statement with the name under which Postgres keeps it prepared. The name is unique in the registry. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Milliseconds after which the connection is given up: for questions that somebody waits for. */
  readonly within?: number;
}

/** Declares a statement. `text` uses $1, $2 …; sets travel as arrays (`unnest`, `= ANY`). */
export function statement(name: string, text: string, options: { readonly within?: number } = {}): Statement {
  return { name, text, ...options };
}

export interface Queryable {
  query<Row = Record<string, unknown>>(statement: Statement, values?: readonly unknown[]): Promise<Row[]>;
  /** Rows that the statement changed. */
  execute(statement: Statement, values?: readonly unknown[]): Promise<number>;
}

const reads = new WeakMap<Statement, boolean>();

/** It changes nothing, so it may be asked again when the answer got lost. */
export function isRead(statement: Statement): boolean {
  let read = reads.get(statement);
  if (read === undefined) {
    read = /^\s*(?:SELECT|WITH|SHOW|EXPLAIN)\b/i.test(statement.text) && !/\b(?:INSERT|UPDATE|DELETE|MERGE)\b/i.test(statement.text);
    reads.set(statement, read);
  }
  return read;
}
