// Whether somebody took the version of a digest out of the record: a run must not call such an image up to date, nor failed.

import type { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";
import type { Digest } from "../domain/digest.ts";
import { printable } from "../domain/printable.ts";

/** Who retired the tags of `digest`, in words; undefined when a tag points at it, when nobody retired one, or when the registry does not say. `repository`: with its prefix. */
export async function outOfService(control: ControlClient, repository: string, digest: Digest): Promise<string | undefined> {
  const ledger = await ledgerOf(control, repository);
  if (ledger === undefined || Object.values(ledger.tags).includes(digest)) return undefined;
  const retired = Object.entries(ledger.retired).filter(([, decision]) => decision.digest === digest);
  const [first] = retired;
  if (first === undefined) return ledger.builds.length === 0 ? "its version is no longer in the record" : undefined;
  const { by, commit, reason } = first[1];
  const where = `${commit === undefined ? "" : ` in ${commit.slice(0, 10)}`}${reason === undefined ? "" : `: ${reason}`}`;
  return printable(`${retired.map(([tag]) => tag).join(", ")} taken out of service by ${by}${where}`, 500);
}

async function ledgerOf(control: ControlClient, repository: string) {
  try {
    return (await control.versions(repository)).ledger;
  } catch (error) {
    if (error instanceof ClientError) return undefined;
    throw error;
  }
}
