// A new repository beside a registry that has versions: they are written back from what is published (design: record, "repository gone or new").

import type { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";
import type { Ledger } from "../domain/ledger.ts";
import type { PlannedCommit } from "../record/commits.ts";
import { versionsCommit, type Committer } from "../record/messages.ts";

export async function restoreLedgers(
  client: Pick<ControlClient, "repositories" | "versions">,
  committer: Committer,
): Promise<readonly PlannedCommit[]> {
  const commits: PlannedCommit[] = [];
  for (const { name, kind } of await client.repositories()) {
    const view = kind === "proxied" ? await client.versions(name).catch(ignoreNotFound) : undefined;
    if (view === undefined) continue;
    commits.push(
      versionsCommit(name, {
        subject: "restored from the registry",
        body: `As published in ${view.revision}; the repository that had it is gone.`,
        ledger: view.ledger as Ledger,
        before: undefined,
        committer,
      }),
    );
  }
  return commits;
}

function ignoreNotFound(error: unknown): undefined {
  if (error instanceof ClientError && error.code === "NotFound") return undefined;
  throw error;
}
