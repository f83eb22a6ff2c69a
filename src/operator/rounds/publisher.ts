// The way from a commit to the registry: a compare-and-swap on the published revision (design: record, "Publishing").

import { createHash } from "node:crypto";

import { failpoint } from "#failpoints";

import type { PublishRequest, RecordedResource, RecordState } from "../../api/control/record.ts";
import type { UpstreamSpec } from "../../api/kinds.ts";
import type { ControlClient } from "../../client/control-client.ts";
import { ClientError } from "../../client/errors.ts";
import type { Ledger } from "../../domain/ledger.ts";
import { prefixOf } from "../../domain/reference.ts";
import { parsePath } from "../../record/layout.ts";
import type { RecordView } from "../../record/record-view.ts";
import type { GitRecord } from "../../record/repository.ts";
import { guardHistory, type HistoryVerdict } from "./history-guard.ts";
import type { HowToSay } from "../persons-word.ts";
import { publishedLedgers } from "./restore-ledgers.ts";
import type { Settled } from "./settle-proposals.ts";

export interface Publication {
  /** The registry's answer; undefined when history has to be accepted first. */
  readonly state: RecordState | undefined;
  readonly verdict: HistoryVerdict;
}

type PublisherClient = Pick<ControlClient, "record" | "publish" | "repositories" | "versions">;

/** Attempts at a base that others move. */
const attempts = 3;
/** What the registry refused is offered again at this pace, milliseconds: its obstacle may have gone without any commit. */
const refusedAgainAfter = 15_000;

export class Publisher {
  readonly #client: PublisherClient;
  readonly #record: GitRecord;
  readonly #howToSay: HowToSay;
  #state: RecordState | undefined;
  /** What this process published last, to stay silent when nothing changed. */
  #fingerprint: string | undefined;
  #publishedAt = -Infinity;
  #published: RecordView | undefined;
  #prefixes: ReadonlySet<string> = new Set();
  readonly #refusedAgainAfter: number;

  constructor(options: { client: PublisherClient; record: GitRecord; howToSay: HowToSay; times?: { refusedAgainAfter?: number } }) {
    this.#client = options.client;
    this.#record = options.record;
    this.#howToSay = options.howToSay;
    this.#refusedAgainAfter = options.times?.refusedAgainAfter ?? refusedAgainAfter;
  }

  /** The registry's state as last heard. */
  get state(): RecordState | undefined {
    return this.#state;
  }

  /** What the registry has published, heard now. */
  async refresh(): Promise<RecordState> {
    this.#state = await this.#client.record();
    return this.#state;
  }

  /** Publishes HEAD. Rejects with ClientError when the registry does not answer or refuses. */
  async publish(
    resources: readonly RecordedResource[],
    options: { settled: readonly Settled[]; everHadAccessPolicy: boolean },
  ): Promise<Publication> {
    for (let attempt = 1; ; attempt++) {
      const state = await this.refresh();
      const verdict = await guardHistory(this.#record, state.revision, this.#howToSay);
      if (verdict.state !== "good") return { state: undefined, verdict };
      try {
        return { state: await this.#publish(state, resources, options), verdict };
      } catch (error) {
        // Whatever went wrong, all of it is offered again.
        this.#fingerprint = undefined;
        if (!(error instanceof ClientError) || error.code !== "Conflict" || attempt === attempts) throw error;
      }
    }
  }

  async #publish(
    state: RecordState,
    resources: readonly RecordedResource[],
    options: { settled: readonly Settled[]; everHadAccessPolicy: boolean },
  ): Promise<RecordState> {
    const { head } = this.#record.view;
    if (head === null) return state;
    const fingerprint = createHash("sha256")
      .update(JSON.stringify([head, resources]))
      .digest("hex");
    const same = fingerprint === this.#fingerprint && state.revision === head;
    if (same && options.settled.length === 0 && !this.#offersAgain(state)) return state;
    const prefixes = new Set(resources.filter(({ kind }) => kind === "Upstream").map(({ spec }) => (spec as UpstreamSpec).prefix));
    const request: PublishRequest = {
      revision: head,
      base: state.revision,
      resources: [...resources],
      ...(await this.#ledgers(state.revision, prefixes)),
      settled: [...options.settled],
      everHadAccessPolicy: options.everHadAccessPolicy,
    };
    const { accepted } = this.#record.confirmations;
    await failpoint("record.publishing");
    this.#state = await this.#client.publish(request);
    await failpoint("record.published");
    this.#fingerprint = fingerprint;
    this.#publishedAt = performance.now();
    this.#prefixes = prefixes;
    this.#published = this.#record.view;
    await this.#record.markPublished(head);
    await failpoint("record.marked");
    if (accepted !== null) await this.#record.spend("accepted", { commit: accepted });
    return this.#state;
  }

  async #filesAt(base: string | null): Promise<ReadonlyMap<string, string> | undefined> {
    if (base === null) return undefined;
    return base === this.#published?.head ? this.#published.blobs : this.#record.filesAt(base);
  }

  #offersAgain({ refused = [] }: RecordState): boolean {
    return refused.length > 0 && performance.now() - this.#publishedAt >= this.#refusedAgainAfter;
  }

  /** Ledgers that changed since `base`, and all of a prefix that is served only now: the registry had nowhere to put them before. */
  async #ledgers(base: string | null, prefixes: ReadonlySet<string>): Promise<Pick<PublishRequest, "ledgers" | "ledgerCommits">> {
    const before = await this.#filesAt(base);
    const now = this.#record.view.blobs;
    const found: PublishRequest["ledgers"] = {};
    const ledgerCommits: NonNullable<PublishRequest["ledgerCommits"]> = {};
    for (const [repository, { ledger, bytes, path, revision }] of this.#record.view.ledgers) {
      const prefix = prefixOf(repository);
      const changed = before === undefined || before.get(path) !== now.get(path);
      if (!changed && (this.#prefixes.has(prefix) || !prefixes.has(prefix))) continue;
      // Who took the versions out, and how they come back, is asked of the registry: the decisions stay when the file is gone.
      const nothing = bytes === undefined && Object.keys(ledger.retired).length === 0;
      found[repository] = nothing ? null : (structuredClone(ledger) as PublishRequest["ledgers"][string]);
      if (!nothing) ledgerCommits[repository] = { changed: revision.id, builds: this.#buildsOf(repository, ledger) };
    }
    // In a history that a person accepted a file may be gone without any commit that removed it.
    for (const repository of await this.#ledgersBefore(base, before)) {
      if (!this.#record.view.ledgers.has(repository)) found[repository] = null;
    }
    return { ledgers: found, ledgerCommits };
  }

  /** Of a revision that is not here only the registry knows what it had. */
  async #ledgersBefore(base: string | null, before: ReadonlyMap<string, string> | undefined): Promise<readonly string[]> {
    if (base !== null && before === undefined) return (await publishedLedgers(this.#client)).map(({ repository }) => repository);
    return [...(before?.keys() ?? [])].flatMap((path) => {
      const place = parsePath(path);
      return place?.type === "ledger" ? [place.repository] : [];
    });
  }

  #buildsOf(repository: string, { builds }: Ledger): Record<string, string> {
    return Object.fromEntries(
      builds.flatMap(({ digest }) => {
        const commit = this.#record.history.commitOfBuild(repository, digest);
        return commit === undefined ? [] : [[digest, commit]];
      }),
    );
  }
}
