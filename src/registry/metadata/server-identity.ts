// Which server is at the other end. After a failover the address leads to another one, and the old one may still answer those who have not noticed.

import type { ClientBase } from "pg";

import { codeOf } from "./sql-state.ts";

export interface ServerIdentity {
  /** A standby: it does not know what was deleted a moment ago, and takes no writes. */
  readonly standby: boolean;
  /** When this server was started, by its own clock. */
  readonly started: string;
  /** The cluster: the same for a primary and the standbys copied from it. Undefined where the server does not say. */
  readonly system: string | undefined;
  /** Counts promotions, eight hexadecimal digits. Undefined on a standby, and where the server does not say. */
  readonly timeline: string | undefined;
}

// Not the checkpoint's timeline: that one lags behind a promotion.
const whole = `SELECT pg_is_in_recovery() AS standby, pg_postmaster_start_time()::text AS started,
   (SELECT system_identifier::text FROM pg_control_system()) AS system,
   CASE WHEN pg_is_in_recovery() THEN NULL ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline`;
/** Some hosted services keep the rest to themselves. */
const little = "SELECT pg_is_in_recovery() AS standby, pg_postmaster_start_time()::text AS started";

const withheld = new Set(["42501", "0A000", "42883"]);

interface Row {
  readonly standby: boolean;
  readonly started: string;
  readonly system?: string | null;
  readonly timeline?: string | null;
}

export async function identify(client: ClientBase): Promise<ServerIdentity> {
  const { rows } = await client.query<Row>(whole).catch((error: unknown) => {
    if (!withheld.has(codeOf(error) ?? "")) throw error;
    return client.query<Row>(little);
  });
  const { standby, started, system, timeline } = rows[0]!;
  return { standby, started, system: system ?? undefined, timeline: timeline ?? undefined };
}

export function sameServer(one: ServerIdentity, other: ServerIdentity): boolean {
  return one.started === other.started && one.system === other.system && one.timeline === other.timeline;
}

/** `server` is a primary that was replaced: of the same cluster, and `known` has been promoted since. */
export function isLeftBehind(server: ServerIdentity, known: ServerIdentity): boolean {
  if (server.system === undefined || server.system !== known.system) return false;
  return server.timeline !== undefined && known.timeline !== undefined && server.timeline < known.timeline;
}
