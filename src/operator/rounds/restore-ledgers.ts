// A new repository beside a registry that has versions: they are written back from what is published (design: record, "repository gone or new").

import type { ControlClient } from "../../client/control-client.ts";
import { ClientError } from "../../client/errors.ts";
import type { Ledger } from "../../domain/ledger.ts";
import type { PlannedCommit } from "../../record/commits.ts";
import { versionsCommit, type Committer } from "../../record/messages.ts";

type LedgerClient = Pick<ControlClient, "repositories" | "versions">;

export async function restoreLedgers(client: LedgerClient, committer: Committer): Promise<readonly PlannedCommit[]> {
  const published = await publishedLedgers(client);
  return published.map(({ repository, revision, ledger }) =>
    versionsCommit(repository, {
      subject: "restored from the registry",
      body: `As published in ${revision}; the repository that had it is gone.`,
      ledger,
      before: undefined,
      committer,
    }),
  );
}

interface PublishedLedger {
  /** With its prefix. */
  readonly repository: string;
  readonly revision: string;
  readonly ledger: Ledger;
}

/** Every ledger that the registry has, as it was published. */
export async function publishedLedgers(client: LedgerClient): Promise<readonly PublishedLedger[]> {
  const found: PublishedLedger[] = [];
  for (const { name, kind } of await client.repositories()) {
    const view = kind === "proxied" ? await client.versions(name).catch(ignoreNotFound) : undefined;
    if (view !== undefined) found.push({ repository: name, revision: view.revision, ledger: view.ledger as Ledger });
  }
  return found;
}

function ignoreNotFound(error: unknown): undefined {
  if (error instanceof ClientError && error.code === "NotFound") return undefined;
  throw error;
}
