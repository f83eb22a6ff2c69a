// What the control plane says of each resource, written where people look: its status, and an event when Ready says something else than before.
// Level-triggered: what the cluster shows is compared with what should be there, so a lost status comes back and an equal one is never written.

import { failpoint } from "#failpoints";

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { Condition, ResourceView } from "../../api/control/resources.ts";
import { isKind, keyString, type ResourceKey } from "../../domain/resource.ts";
import type { Logger } from "../../observability/logger.ts";
import { BatchQueue } from "../batch-queue.ts";
import { KubeError } from "./errors.ts";
import type { EventDraft, Events } from "./events.ts";
import type { KubeClient } from "./kube-client.ts";
import { groupVersion, paths, type CustomResource } from "./objects.ts";
import { conditionOf, sameStatus, statusOf, type ResourceStatus } from "./status-of.ts";

export interface StatusWriterOptions {
  readonly client: Pick<KubeClient, "apply">;
  readonly events: Pick<Events, "say">;
  /** A resource as a watch has it. */
  readonly object: (key: ResourceKey) => CustomResource | undefined;
  readonly logger: Logger;
}

interface Taken {
  readonly view: ResourceView;
  /** Of the resource at that moment. */
  readonly uid: string | undefined;
}

interface Seen {
  readonly status: ResourceStatus | undefined;
  readonly version: string | undefined;
}

/** Writes at once. */
const concurrent = 8;

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #queue: BatchQueue;
  #views: ReadonlyMap<string, Taken> = new Map();
  /** What was written last, while the watch has not seen it: by the version that it was written over. */
  readonly #written = new Map<string, Seen & { readonly over: string | undefined }>();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#queue = new BatchQueue({
      work: (ids) => this.#writeAll([...ids]),
      onError: (error) => options.logger.warn({ error: String(error) }, "statuses could not be written; they are written again"),
      quiet: 20,
      longest: 200,
    });
  }

  /** All views of a round. */
  take(views: readonly ResourceView[]): void {
    const before = this.#views;
    this.#views = new Map(views.map((view) => [idOf(view), { view, uid: this.#objectOf(view)?.metadata.uid }]));
    for (const id of this.#written.keys()) if (!this.#views.has(id)) this.#written.delete(id);
    for (const [id, taken] of this.#views) {
      if (this.#due(id, taken) === undefined) continue;
      // Of what could not be written, a round that has nothing new to say is no reason to try again.
      if (before.get(id)?.view === taken.view) this.#queue.remind(id);
      else this.#queue.add(id);
    }
  }

  /** Ends after what is being written. */
  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #writeAll(ids: string[]): Promise<readonly string[]> {
    const failed: { readonly id: string; readonly error: unknown }[] = [];
    const work = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        try {
          await this.#write(id);
        } catch (error) {
          failed.push({ id, error });
        }
      }
    };
    await Promise.all(Array.from({ length: concurrent }, work));
    this.#tell(failed);
    return failed.map(({ id }) => id);
  }

  /** One line, however many there are: where a server is away, it is so for all of them. */
  #tell(failed: readonly { readonly id: string; readonly error: unknown }[]): void {
    const { logger } = this.#options;
    // Somebody changed it: the watch will have seen that in a moment.
    const isRace = (error: unknown) => error instanceof KubeError && error.status === 409;
    const [first, ...more] = failed.filter(({ error }) => !isRace(error));
    if (first !== undefined) {
      const others = more.length === 0 ? "" : ` and those of ${more.length} other resources`;
      logger.warn({ error: String(first.error) }, `the status of ${described(first.id)}${others} could not be written; it is tried again`);
    }
    for (const { id, error } of failed)
      if (isRace(error)) logger.debug({ error: String(error) }, `the status of ${described(id)} has changed; it is written again`);
  }

  #objectOf(view: ResourceView): CustomResource | undefined {
    const key = keyOf(view);
    return key === undefined ? undefined : this.#options.object(key);
  }

  /** What is to be written; undefined: nothing. */
  #due(id: string, { view, uid }: Taken) {
    const key = keyOf(view);
    const object = this.#objectOf(view);
    if (key === undefined || object === undefined) return undefined;
    // The view is of one that was deleted since, and what has its name now is looked at by the next round.
    const { metadata } = object;
    if (metadata.uid !== uid || (metadata.generation ?? Infinity) < view.generation) return undefined;
    const { status: there, version } = this.#there(id, object);
    const wanted = statusOf(view, there);
    return sameStatus(wanted, there) ? undefined : { key, object, there, version, wanted };
  }

  #there(id: string, { metadata, status }: CustomResource): Seen {
    const written = this.#written.get(id);
    if (written !== undefined && written.over === metadata.resourceVersion) return written;
    this.#written.delete(id);
    return { status: status as ResourceStatus | undefined, version: metadata.resourceVersion };
  }

  /** Rejects when it has to be tried again. */
  async #write(id: string): Promise<void> {
    const taken = this.#views.get(id);
    const due = taken === undefined ? undefined : this.#due(id, taken);
    if (due === undefined) return;
    const { client, events } = this.#options;
    const { key, object, there, version, wanted } = due;
    const { namespace, name } = key;
    const { uid, resourceVersion: over } = object.metadata;
    // Over what was seen and nothing else: what was deleted and made anew is not told of its predecessor. A uid would not do, /status does not look at it.
    const metadata = { name, namespace, ...(version === undefined ? {} : { resourceVersion: version }) };
    const applied = { apiVersion: groupVersion, kind: key.kind, metadata, status: wanted };
    try {
      await failpoint("status.writing");
      const answer = await client.apply(`${paths.resources(key.kind, namespace)}/${name}/status`, applied);
      this.#written.set(id, { over, status: wanted, version: answer.metadata.resourceVersion });
      await failpoint("status.written");
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return; // gone
      this.#written.delete(id);
      throw error;
    }
    const told = [
      eventOf(conditionOf(conditionTypes.ready, wanted), conditionOf(conditionTypes.ready, there)),
      shadowEventOf(wanted, there),
    ];
    for (const event of told) {
      if (event !== undefined) await events.say({ apiVersion: groupVersion, kind: key.kind, namespace, name, uid }, event);
    }
  }
}

/** Reasons for which Ready is not True yet, and nobody has to do anything. */
const quiet: ReadonlySet<string> = new Set([reasons.progressing, reasons.suspended]);

function eventOf(now: Condition | undefined, before: Condition | undefined): EventDraft | undefined {
  if (now === undefined) return undefined;
  if (now.status === before?.status && now.reason === before.reason && now.message === before.message) return undefined;
  const type = now.status === "True" || quiet.has(now.reason) ? "Normal" : "Warning";
  return { type, reason: now.reason, note: now.message };
}

/** It makes nothing less ready, so nothing but its event shows it to who does not look. That a list could not be had is told by the Upstream. */
function shadowEventOf(wanted: ResourceStatus, there: ResourceStatus | undefined): EventDraft | undefined {
  const [now, before] = [wanted, there].map((status) => conditionOf(conditionTypes.shadowed, status));
  if (now?.status === "True")
    return now.message === before?.message ? undefined : { type: "Warning", reason: now.reason, note: now.message };
  // After a start no run was heard of yet.
  const heard = conditionOf(conditionTypes.synced, wanted) !== undefined;
  if (now !== undefined || before?.status !== "True" || !heard) return undefined;
  return { type: "Normal", reason: "NoLongerShadowed", note: "upstream has no tag of the same name as a minted one any more" };
}

function keyOf({ kind, namespace, name }: ResourceView): ResourceKey | undefined {
  return isKind(kind) ? { kind, namespace, name } : undefined;
}

/** `upstream default/one`. */
function described(id: string): string {
  const [kind = "", ...name] = id.split("/");
  return `${kind.toLowerCase()} ${name.join("/")}`;
}

function idOf({ kind, namespace, name }: ResourceView): string {
  return isKind(kind) ? keyString({ kind, namespace, name }) : `${kind}/${namespace}/${name}`;
}
