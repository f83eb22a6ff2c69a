// One run of a TagPolicy: each source tag of each image, a few at a time, each with an outcome of its own (design: tag-sync, "One run").

import type { Run, SyncOutcome } from "../api/control/runs.ts";
import type { ShadowedTags } from "../api/control/versions.ts";
import type { PolicyImage, TagPolicySpec } from "../api/kinds.ts";
import type { ControlClient } from "../client/control-client.ts";
import type { RegistryClient } from "../client/registry-client.ts";
import type { Digest } from "../domain/digest.ts";
import type { Evidence } from "../domain/ledger.ts";
import { printable } from "../domain/printable.ts";
import { findByRepository } from "../domain/upstream-names.ts";
import { largeInTurn } from "./large-documents.ts";
import { reportRun, type RunEnd } from "./reported-run.ts";
import { shadowedOf, ShadowTally, type ShadowedResult } from "./shadowed.ts";
import { syncSourceTag, type Minted, type SourceTagResult, type SyncContext } from "./source-tag.ts";
import { retryOf, SyncFailure } from "./sync-failure.ts";
import { signersOf } from "./trusted-signers.ts";

export interface TagSyncOptions {
  readonly control: ControlClient;
  readonly registry: RegistryClient;
  /** Id of a run that is registered. */
  readonly run: string;
  /** One line for a person, as it happens. */
  readonly progress?: (line: string) => void;
  readonly signal: AbortSignal;
  /** Longest wait for one version to be published, milliseconds. */
  readonly publishWait?: number;
}

export interface TagSyncResult {
  readonly images: { readonly total: number; readonly failed: number };
  readonly minted: readonly Minted[];
  /** At most 20; `images.failed` counts all. */
  readonly failures: readonly TagSyncFailure[];
  /** Source tags whose version somebody took out of the record: neither up to date nor failed. Absent when there are none; at most 20. */
  readonly outOfService?: readonly OutOfService[];
  /** Tags of upstream behind minted ones of the same name; absent when there are none. */
  readonly shadowed?: ShadowedResult;
}

export interface OutOfService {
  readonly repository: string;
  readonly sourceTag: string;
  readonly digest: Digest;
  /** By whom, and in which commit. */
  readonly message: string;
}

export interface TagSyncFailure {
  readonly repository: string;
  readonly sourceTag: string;
  readonly digest?: Digest;
  readonly reason: string;
  readonly message: string;
}

export type TagSyncEnd = RunEnd<TagSyncResult>;

const imagesAtOnce = 4;
const maxFailures = 20;
const maxMinted = 1_000;
const defaultPublishWait = 120_000;

/**
 * Runs to the end and reports it to the run. An image that fails is a failure of that image; the run fails when it could not be done at all:
 * the registry does not answer, the policy needs what is not built, `signal` aborts. Rejects with ClientError only when the run cannot be read.
 */
export async function runTagSync(options: TagSyncOptions): Promise<TagSyncEnd> {
  const { control, signal, progress = () => {} } = options;
  const run = await control.run(options.run);
  const tally = new Tally(run.spec as TagPolicySpec);
  return reportRun({
    control,
    run: run.id,
    signal,
    progress: () => tally.progress(),
    work: async (signal) => {
      await syncImages(contextOf(run, { ...options, signal }), run, tally, progress);
      return { succeeded: true, message: tally.summary(), result: tally.result() };
    },
    broken: () => tally.result(),
  });
}

function contextOf(run: Run, options: TagSyncOptions): SyncContext {
  const spec = run.spec as TagPolicySpec;
  const settled = new Map((run.settled ?? []).map((outcome) => [keyOf(outcome), outcome]));
  return {
    control: options.control,
    registry: options.registry,
    documents: largeInTurn(options.registry),
    run: run.id,
    spec,
    signers: signersOf(run, spec, options.progress ?? (() => {})),
    settled: (repository, sourceTag, digest) => {
      const outcome = settled.get(keyOf({ repository, sourceTag, digest }));
      // A person who asks now wants a look now: only what is minted already is left alone.
      return run.trigger === "manual" && outcome?.outcome !== "Minted" ? undefined : outcome;
    },
    signal: options.signal,
    publishWait: options.publishWait ?? defaultPublishWait,
  };
}

function keyOf({ repository, sourceTag, digest }: Pick<SyncOutcome, "repository" | "sourceTag" | "digest">): string {
  return JSON.stringify([repository, sourceTag, digest]);
}

/** A few images at a time; the source tags of one image in turn, because they share a ledger. */
async function syncImages(context: SyncContext, run: Run, tally: Tally, progress: (line: string) => void): Promise<void> {
  const waiting = [...context.spec.images];
  const work = async () => {
    for (let image = waiting.shift(); image !== undefined; image = waiting.shift()) await syncImage(context, run, image, tally, progress);
  };
  const workers = await Promise.allSettled(Array.from({ length: imagesAtOnce }, work));
  const failed = workers.find((worker) => worker.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

async function syncImage(
  context: SyncContext,
  run: Run,
  image: PolicyImage,
  tally: Tally,
  progress: (line: string) => void,
): Promise<void> {
  const repository = localName(run, image.repository);
  for (const source of context.spec.sourceTags) {
    context.signal.throwIfAborted();
    const result: SourceTagResult =
      repository === undefined
        ? {
            state: "Failed",
            digest: undefined,
            failure: new SyncFailure("RepositoryNotServed", `the Upstream does not serve ${image.repository}`),
          }
        : await syncSourceTag(context, { image, repository, source });
    const outcome = outcomeOf(image.repository, source.name, result);
    if (outcome !== undefined) await context.control.updateRun(context.run, { outcomes: [outcome], anchors: run.anchors });
    tally.note(image.repository, source.name, result);
    progress(describe(`${repository ?? image.repository}:${source.name}`, result));
  }
  if (repository !== undefined) {
    context.signal.throwIfAborted();
    const shadowed = await shadowedOf(context, repository);
    tally.noteShadowed(repository, shadowed);
    if (shadowed.total > 0) progress(describeShadowed(repository, shadowed));
  }
  tally.imageDone();
}

function localName({ upstream }: Run, repository: string): string | undefined {
  // Which repositories the Upstream serves is the registry's to say; here it is only about names.
  return upstream && findByRepository({ ...upstream, repositories: { include: ["**"], exclude: [] } }, repository)?.name;
}

/** What the registry remembers of it; undefined: nothing. */
function outcomeOf(repository: string, sourceTag: string, result: SourceTagResult): SyncOutcome | undefined {
  if (result.state === "Settled" || result.digest === undefined) return undefined;
  const about = { repository, sourceTag, digest: result.digest };
  if (result.state === "Minted") {
    return { ...about, outcome: "Minted", message: `${result.minted.version}: ${result.minted.tags.join(", ")}` };
  }
  if (result.failure === undefined) return undefined;
  const { code, message } = result.failure;
  const retry = retryOf(code);
  if (retry === "Forget") return undefined;
  return { ...about, outcome: code, message: printable(message, 1_000), ...(retry === undefined ? {} : { retryAfter: retry }) };
}

function describeShadowed(repository: string, { total, tags }: ShadowedTags): string {
  const rest = total > tags.length ? ` and ${total - tags.length} more` : "";
  return `${repository}: upstream has ${tags.join(", ")}${rest} too; the minted ${total === 1 ? "one is" : "ones are"} served`;
}

function describe(tag: string, result: SourceTagResult): string {
  const at = result.digest === undefined ? tag : `${tag} ${result.digest.slice(0, 19)}…`;
  if (result.state === "Settled") return `${at} unchanged: ${result.outcome.outcome}`;
  if (result.state === "OutOfService") return `${at} unchanged: ${result.why}; no run mints it again`;
  if (result.state === "Failed") return `${at} ${result.failure.code}: ${printable(result.failure.message, 500)}`;
  const { minted, evidence } = result;
  return `${at} is ${minted.version} by ${evidence.type}${describeSigner(evidence)}: ${minted.tags.join(", ")}`;
}

function describeSigner({ key, subject, issuer }: Evidence): string {
  if (key !== undefined) return ` signed with ${key.name}`;
  return subject === undefined ? ", unverified" : ` signed by ${printable(subject, 300)} of ${printable(issuer ?? "", 200)}`;
}

/** What happened so far. */
class Tally {
  readonly #total: number;
  readonly #minted: Minted[] = [];
  readonly #failures: TagSyncFailure[] = [];
  readonly #outOfService: OutOfService[] = [];
  readonly #shadows = new ShadowTally();
  #done = 0;

  constructor({ images }: TagPolicySpec) {
    this.#total = images.length;
  }

  note(repository: string, sourceTag: string, result: SourceTagResult): void {
    if (result.state === "Minted") this.#minted.push(result.minted);
    if (result.state === "OutOfService") this.#outOfService.push({ repository, sourceTag, digest: result.digest, message: result.why });
    if (result.state === "Settled" && result.outcome.outcome !== "Minted") {
      const { outcome, message } = result.outcome;
      this.#failures.push({ repository, sourceTag, digest: result.digest, reason: outcome, message: message ?? "" });
    }
    if (result.state === "Failed") {
      const { digest, failure } = result;
      const about = digest === undefined ? {} : { digest };
      this.#failures.push({ repository, sourceTag, ...about, reason: failure.code, message: printable(failure.message, 500) });
    }
  }

  noteShadowed(repository: string, shadowed: ShadowedTags): void {
    this.#shadows.note(repository, shadowed);
  }

  imageDone(): void {
    this.#done++;
  }

  progress(): { done: number; total: number } {
    return { done: this.#done, total: this.#total };
  }

  result(): TagSyncResult {
    const failed = new Set(this.#failures.map(({ repository }) => repository)).size;
    const shadowed = this.#shadows.result();
    return {
      images: { total: this.#total, failed },
      minted: this.#minted.slice(0, maxMinted),
      failures: this.#failures.slice(0, maxFailures),
      ...(this.#outOfService.length === 0 ? {} : { outOfService: this.#outOfService.slice(0, maxFailures) }),
      ...(shadowed === undefined ? {} : { shadowed }),
    };
  }

  summary(): string {
    const { failed } = this.result().images;
    const bad = new Set(this.#failures.map(({ repository }) => repository));
    const out = new Set(this.#outOfService.map(({ repository }) => repository)).difference(bad).size;
    const versions = this.#minted.length === 1 ? "1 version" : `${this.#minted.length} versions`;
    const rest = [
      ...(failed === 0 ? [] : [`${failed} failed`]),
      ...(out === 0 ? [] : [`${out} out of service by a decision in the record`]),
    ];
    return [`${versions} minted`, `${this.#total - failed - out} of ${this.#total} images up to date`, ...rest].join(", ");
  }
}
