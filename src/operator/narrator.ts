// What the log says of the control plane's work, and the events of its Pod of what keeps it from it: changes, each once, in sentences.

import type { Condition, ResourceView } from "../api/control/resources.ts";
import { conditionTypes, reasons } from "../api/conditions.ts";
import { keyString, type ResourceKey } from "../domain/resource.ts";
import { ClientError } from "../client/errors.ts";
import type { Logger } from "../observability/logger.ts";
import { Obstacles, type Announce } from "../observability/obstacles.ts";
import type { PlannedCommit } from "../record/commits.ts";
import { RecordError } from "../record/errors.ts";
import type { FileProblem } from "../record/yaml-file.ts";
import { otherIsOver } from "./rounds/other-installation.ts";
import type { JobKind, JobOutcome } from "./ports.ts";
import type { RecordStatus } from "./rounds/record-status.ts";

export class Narrator {
  readonly #logger: Logger;
  readonly #obstacles: Obstacles;
  /** Another installation of which something is in the record. Work goes on beside it. */
  readonly #other: Obstacles;
  #told: ReadonlySet<string> = new Set();

  constructor({ logger, announce }: { readonly logger: Logger; readonly announce?: Announce | undefined }) {
    this.#logger = logger;
    this.#obstacles = new Obstacles({ logger, announce, over: { reason: "Published", message: "The record is published again." } });
    this.#other = new Obstacles({ logger, announce, over: otherIsOver, hinders: false });
  }

  /** What is committed waits, and is tried again. */
  notPublished(error: unknown): void {
    if (error instanceof ClientError)
      this.#obstacles.meet({ reason: "NotPublished", message: `The record is not published: ${error.message}` });
    else if (error instanceof RecordError) this.#obstacles.meet({ reason: error.code, message: `The record: ${error.message}` });
    else this.#logger.error({ err: error }, "a round of the control plane failed; it is tried again");
  }

  published(): void {
    this.#obstacles.overcome();
  }

  committed(id: string, commit: PlannedCommit | undefined): void {
    const subject = commit?.subject ?? "";
    const level = subject.includes("ends override") ? "warn" : "info";
    this.#logger[level]({ commit: id }, `recorded ${id.slice(0, 10)}: ${subject}`);
  }

  changed(view: ResourceView, before: ResourceView | undefined): void {
    const now = changedCondition(conditionTypes.ready, view, before);
    const subject = `${view.kind.toLowerCase()} ${view.namespace}/${view.name}`;
    const shadowed = changedCondition(conditionTypes.shadowed, view, before);
    if (shadowed?.status === "True") this.#logger.warn({ reason: shadowed.reason }, `${subject}: ${shadowed.message}`);
    if (conditionOf(conditionTypes.ready, view)?.status === "True") {
      const credentials = changedCondition(conditionTypes.credentialsLoaded, view, before);
      if (credentials?.status === "False" && credentials.reason !== reasons.progressing) {
        this.#logger.warn({ reason: credentials.reason }, `${subject} is ready, but ${credentials.message}`);
        return;
      }
    }
    if (now === undefined) return;
    const fields = { readyReason: now.reason };
    // Nothing has changed when the first look finds it well: what a start records is told of, and what it serves is in its last line.
    if (now.status === "True") this.#logger[before === undefined ? "debug" : "info"](fields, `${subject} is ready: ${now.message}`);
    else this.#logger.warn(fields, `${subject} is not ready: ${now.message}`);
  }

  ran(kind: JobKind, key: ResourceKey, outcome: JobOutcome): void {
    this.#logger[outcome.succeeded ? "info" : "warn"]({ run: outcome.run }, `${kind} ${key.namespace}/${key.name}: ${outcome.message}`);
  }

  record({
    waiting,
    problems,
    warnings,
    orphans,
    other,
  }: Pick<RecordStatus, "waiting" | "problems" | "warnings" | "orphans" | "other">): void {
    if (other === undefined) this.#other.overcome();
    else this.#other.meet(other);
    const now = [
      ...waiting,
      ...problems.map(describe),
      ...warnings.map(describe),
      ...orphans.map(
        (key) =>
          `${keyString(key)} is in the record and has no resource: it is served on until its file is removed or the resource comes back`,
      ),
    ];
    for (const message of now) if (!this.#told.has(message)) this.#logger.warn(message);
    this.#told = new Set(now);
  }
}

function conditionOf(type: string, view: ResourceView | undefined): Condition | undefined {
  return view?.status.conditions.find((condition) => condition.type === type);
}

/** The condition, when it says something else than before. */
function changedCondition(type: string, view: ResourceView, before: ResourceView | undefined): Condition | undefined {
  const [now, then] = [conditionOf(type, view), conditionOf(type, before)];
  return now?.status === then?.status && now?.reason === then?.reason && now?.message === then?.message ? undefined : now;
}

function describe({ path, line, message }: FileProblem): string {
  return `record: ${path}${line === undefined ? "" : `:${line}`}: ${message}`;
}
