// The operator's part by hand, through the API alone: what waits is minted into ledgers and published, revision after revision, without Git.

import type { Proposal } from "../../src/api/control/proposals.ts";
import type { PublishRequest, RecordedResource } from "../../src/api/control/record.ts";
import type { TagPolicySpec } from "../../src/api/kinds.ts";
import type { ControlClient } from "../../src/client/control-client.ts";
import type { Build, Ledger } from "../../src/domain/ledger.ts";
import { mint, retire } from "../../src/domain/minting.ts";

export interface HandOperator {
  readonly ledgers: ReadonlyMap<string, Ledger>;
  /** Publishes these resources instead of the last ones. */
  apply(resources: readonly Pick<RecordedResource, "kind" | "name" | "generation" | "spec">[]): Promise<void>;
  /** Publishes that somebody took all versions of `repository` (with its prefix) out of service. */
  retire(repository: string, by: string): Promise<void>;
  /** Mints and publishes what waits, until `stop`. */
  start(): void;
  stop(): Promise<void>;
}

export function createHandOperator(control: ControlClient): HandOperator {
  const ledgers = new Map<string, Ledger>();
  let resources: PublishRequest["resources"] = [];
  let revision: string | null = null;
  let count = 0;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  let last: Promise<void> = Promise.resolve();

  /** One publish after the other, each on the one before. */
  function publish(changes: Record<string, Ledger>, settled: PublishRequest["settled"]): Promise<void> {
    last = last.then(() => publishNext(changes, settled));
    return last;
  }

  async function publishNext(changes: Record<string, Ledger>, settled: PublishRequest["settled"]): Promise<void> {
    const next = (++count).toString(16).padStart(40, "0");
    await control.publish({ revision: next, base: revision, resources, ledgers: changes as PublishRequest["ledgers"], settled });
    revision = next;
  }

  function mintOne({ repository, image, body, policy }: Proposal): Ledger | undefined {
    const spec = resources.find(({ kind, namespace, name }) => kind === "TagPolicy" && `${namespace}/${name}` === policy)
      ?.spec as TagPolicySpec;
    if (body.kind !== "mint") return undefined;
    const sourceTags = spec.sourceTags.map(({ name }) => name);
    const request = { image: image ?? "", build: body.build as Build, tags: body.tags, onRebuild: body.onRebuild };
    const { ledger } = mint(ledgers.get(repository), request, { now: new Date(), sourceTags });
    ledgers.set(repository, ledger);
    return ledger;
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const waiting = await control.waitingProposals({ waitSeconds: 5, signal: stopping.signal });
      const changes: Record<string, Ledger> = {};
      for (const proposal of waiting) changes[proposal.repository] = mintOne(proposal) ?? changes[proposal.repository]!;
      if (waiting.length > 0)
        await publish(
          changes,
          waiting.map(({ id }) => ({ id })),
        );
    }
  }

  return {
    ledgers,
    async apply(wanted) {
      resources = wanted.map((resource) => ({ ...resource, namespace: "default", revision: "0".repeat(40), suspend: false }));
      await publish({}, []);
    },
    async retire(repository, by) {
      const before = ledgers.get(repository);
      if (before === undefined) throw new Error(`${repository} has no versions`);
      const tags = Object.keys(before.tags).map((tag) => ({ tag }));
      const { ledger } = retire(before, tags, by);
      ledgers.set(repository, ledger);
      await publish({ [repository]: ledger }, []);
    },
    start() {
      loop = work().catch((error: unknown) => {
        if (!stopping.signal.aborted) throw error;
      });
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}
