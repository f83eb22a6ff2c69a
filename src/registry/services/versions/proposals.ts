// Proposals: versions on their way into the record (design: tag-sync, points 7 and 8). Stored here, committed by the operator, settled by the publish.

import { Value } from "typebox/value";

import { failpoint } from "#failpoints";

import { MintProposal, type Proposal, type ProposalRequest, type RetireProposal } from "../../../api/control/proposals.ts";
import type { Digest } from "../../../domain/digest.ts";
import { printable } from "../../../domain/printable.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import type { Database, Queryable } from "../../metadata/database.ts";
import { holdClosure } from "../../metadata/proposal-pins.ts";
import {
  insertProposal,
  lockProposals,
  mintersOf,
  proposalById,
  waitingProposals,
  waitingProposalsOf,
  type StoredProposal,
} from "../../metadata/proposals.ts";
import { findRepository } from "../../metadata/repositories.ts";
import { runById, type StoredRun } from "../../metadata/runs.ts";
import { findLedger } from "../../metadata/versions.ts";
import type { ConfigurationSource } from "../configuration/configuration.ts";
import { completeCopy } from "./complete-copy.ts";
import { ServiceError } from "../errors.ts";
import { askUntil, Bell, type Waiting } from "../runs/long-poll.ts";
import { checkAgainstHistory, checkAgainstPolicy } from "./mint-checks.ts";
import { imageOfPolicy, keyOf, policiesOf, policyScope, type PolicyScope } from "../runs/policy-scope.ts";
import { unlessStorable } from "./storable.ts";

export class Proposals {
  readonly #database: Database;
  readonly #configuration: ConfigurationSource;
  readonly #secrets: SecretSource;
  readonly #bell = new Bell();
  /** Whether other processes store and settle proposals too. */
  readonly #lookAgain: boolean;
  readonly #unsubscribe: () => void;

  constructor(options: { database: Database; configuration: ConfigurationSource; secrets: SecretSource; alone?: boolean }) {
    this.#lookAgain = options.alone !== true;
    this.#database = options.database;
    this.#configuration = options.configuration;
    this.#secrets = options.secrets;
    // A publish settles proposals.
    this.#unsubscribe = options.configuration.onChange(() => this.#bell.ring());
  }

  /**
   * Stores a proposal; the same one again while it waits is answered with the first. ServiceError NOT_FOUND, DENIED (not of this run, policy or
   * history), INVALID, CONFLICT (the run has ended, another policy has the repository, or the copy is incomplete: `detail` lists what is missing).
   */
  async propose(request: ProposalRequest): Promise<Proposal> {
    const stored = await unlessStorable(request.kind === "mint" ? this.#mint(request) : this.#retire(request));
    this.#bell.ring();
    return this.#view(stored);
  }

  /** Those that wait to be committed, oldest first; held back while there are none. */
  async waiting(patience: Waiting): Promise<readonly Proposal[]> {
    const found = await askUntil(
      this.#bell,
      () => waitingProposals(this.#database),
      (list) => list.length > 0,
      { lookAgain: this.#lookAgain, ...patience },
    );
    return found.map((proposal) => this.#view(proposal));
  }

  /** ServiceError NOT_FOUND. Held back while it is still waiting. */
  async get(id: string, patience: Waiting): Promise<Proposal> {
    const found = await askUntil(
      this.#bell,
      () => proposalById(this.#database, id),
      (proposal) => proposal?.state !== "waiting",
      { lookAgain: this.#lookAgain, ...patience },
    );
    if (found === undefined) throw new ServiceError("NOT_FOUND", `There is no proposal ${printable(id, 100)}.`);
    return this.#view(found);
  }

  close(): void {
    this.#unsubscribe();
    this.#bell.ring();
  }

  async #mint(proposed: MintProposal): Promise<StoredProposal> {
    // All of it comes into the record, and what is no field of a proposal nobody has judged.
    const request = Value.Clean(MintProposal, structuredClone(proposed)) as MintProposal;
    const run = await this.#runningRun(request.run, "tag-sync");
    const scope = policyScope(this.#configuration.current(), run.policy);
    if (scope.policy.suspend) throw new ServiceError("CONFLICT", `TagPolicy ${run.policy} is suspended and mints nothing.`);
    const { name } = imageOfPolicy(scope, request.repository);
    checkAgainstPolicy(request, scope, this.#secrets);
    const stored = await this.#database.transaction(async (transaction) => {
      await lockProposals(transaction, name);
      await failpoint("pin.turn");
      await this.#requireOwner(transaction, name, run.policy);
      const repository = await findRepository(transaction, name);
      if (repository === undefined) throw new ServiceError("DENIED", `Nothing of ${name} was ever pulled through this registry.`);
      // The job's clock and its claim do not count: what orders builds is when this registry saw them.
      const seen = await checkAgainstHistory(transaction, repository, request);
      const body: MintProposal = { ...request, build: { ...request.build, seen } };
      const same = (await waitingProposalsOf(transaction, name, "mint")).find((other) => isSameMint(other.body, body));
      if (same !== undefined) return same;
      const held = scope.policy.spec.copy === "Image" ? await completeCopy(transaction, repository.id, copyOf(body)) : undefined;
      await failpoint("pin.locked");
      const proposal = await insertProposal(transaction, { run: run.id, policy: run.policy, repository: name, body });
      await failpoint("pin.inserted");
      if (held !== undefined) await holdClosure(transaction, { proposal: proposal.id, repository: repository.id, ...held });
      await failpoint("pin.held");
      return proposal;
    });
    await failpoint("pin.committed");
    return stored;
  }

  async #retire(request: RetireProposal): Promise<StoredProposal> {
    const run = request.run === undefined ? undefined : await this.#runningRun(request.run, "prune");
    if (request.tags.length === 0) throw new ServiceError("INVALID", "A proposal names at least one tag.");
    const body: RetireProposal = { ...request, tags: request.tags.map((entry) => ({ ...entry, reason: printable(entry.reason, 1_000) })) };
    return this.#database.transaction(async (transaction) => {
      await lockProposals(transaction, request.repository);
      const tags = new Map(Object.entries((await findLedger(transaction, request.repository))?.ledger.tags ?? {}));
      const moved = body.tags.find(({ tag, digest }) => tags.get(tag) !== digest);
      if (moved !== undefined) {
        throw new ServiceError("CONFLICT", `${request.repository}:${moved.tag} is no version tag that points at ${moved.digest} now.`);
      }
      const same = (await waitingProposalsOf(transaction, request.repository, "retire")).find((other) => isSameRetire(other.body, body));
      return same ?? insertProposal(transaction, { run: run?.id, policy: run?.policy ?? "", repository: request.repository, body });
    });
  }

  async #runningRun(id: string, kind: StoredRun["kind"]): Promise<StoredRun> {
    const run = await runById(this.#database, id);
    if (run === undefined) throw new ServiceError("NOT_FOUND", `There is no run ${printable(id, 100)}.`);
    if (run.kind !== kind) throw new ServiceError("DENIED", `Run ${id} is a ${run.kind} run.`);
    if (run.state !== "running") throw new ServiceError("CONFLICT", `Run ${id} has ended (${run.state}).`);
    return run;
  }

  /** A repository has one TagPolicy; the older keeps it: the one whose versions were accepted first, else the one recorded first. */
  async #requireOwner(transaction: Queryable, name: string, policy: string): Promise<void> {
    const candidates = policiesOf(this.#configuration.current(), name).map(keyOf);
    const minters = await mintersOf(transaction, name);
    const owner = minters.find((minter) => candidates.includes(minter)) ?? candidates[0];
    if (owner !== undefined && owner !== policy) {
      throw new ServiceError(
        "CONFLICT",
        `${name} has its versions from TagPolicy ${owner}. A repository has one TagPolicy; the older keeps it.`,
      );
    }
  }

  #view(proposal: StoredProposal): Proposal {
    if (proposal.body.kind !== "mint") return proposal;
    const scope = this.#scopeOf(proposal.policy);
    const image = scope && imageOrNothing(scope, proposal.body.repository);
    return image === undefined ? proposal : { ...proposal, image };
  }

  #scopeOf(policy: string): PolicyScope | undefined {
    try {
      return policyScope(this.#configuration.current(), policy);
    } catch (error) {
      if (error instanceof ServiceError) return undefined;
      throw error;
    }
  }
}

function imageOrNothing(scope: PolicyScope, repository: string): string | undefined {
  try {
    return imageOfPolicy(scope, repository).image;
  } catch (error) {
    if (error instanceof ServiceError) return undefined;
    throw error;
  }
}

const copyOf = ({ build, evidenceManifests }: MintProposal) => ({
  digest: build.digest as Digest,
  evidence: evidenceManifests as Digest[],
});

function isSameMint(other: ProposalRequest, body: MintProposal): boolean {
  if (other.kind !== "mint") return false;
  const sameBuild = other.build.digest === body.build.digest && other.build.version === body.build.version;
  return sameBuild && other.build.sourceTag === body.build.sourceTag && isSameSet(other.tags, body.tags);
}

function isSameRetire(other: ProposalRequest, body: RetireProposal): boolean {
  const names = ({ tags }: RetireProposal) => tags.map(({ tag, digest }) => `${tag} ${digest}`);
  return other.kind === "retire" && isSameSet(names(other), names(body));
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set(a).symmetricDifference(new Set(b)).size === 0;
}
