// Where the record stands, for people who have the cluster and not the operator's folder: the key `record` of the installation's ConfigMap, written
// when that says something else. Who leads also puts back the ConfigMap and the id in it: without it the next process would be a new installation. The registry is not asked for it: it serves what was published, and need not be there.

import type { ControlPlaneStatus } from "../../api/control/record.ts";
import type { RemoteSettings } from "../../domain/record-settings.ts";
import type { Logger } from "../../observability/logger.ts";
import { BatchQueue } from "../batch-queue.ts";
import { KubeError } from "./errors.ts";
import { installationName, makeInstallation } from "./installation.ts";
import type { KubeClient } from "./kube-client.ts";
import { fieldManager, paths, type KubeObject } from "./objects.ts";

/** A record that can be cloned. */
export type ReportedRemote = Pick<RemoteSettings, "url" | "branch" | "folder">;

export interface RecordReport {
  readonly status: ControlPlaneStatus;
  readonly remote?: ReportedRemote;
  /** How many entries of its lists are left out. */
  readonly omitted?: number;
}

export interface RecordReporterOptions {
  readonly client: Pick<KubeClient, "send">;
  readonly namespace: string;
  /** Its id. */
  readonly installation: string;
  /** The ConfigMap as a watch has it. */
  readonly seen: () => KubeObject | undefined;
  readonly remote: ReportedRemote | undefined;
  readonly logger: Logger;
}

/** An object has room for a megabyte: entries of a list, and characters of one. */
const most = { entries: 100, characters: 1_000 } as const;

export class RecordReporter {
  readonly #options: RecordReporterOptions;
  readonly #queue: BatchQueue;
  #wanted: string | undefined;
  /** What it says, in the version that did; undefined: that is not known. */
  #there: { readonly record: string; readonly version: string | undefined } | undefined;

  constructor(options: RecordReporterOptions) {
    this.#options = options;
    const { namespace, logger } = options;
    this.#queue = new BatchQueue({
      work: async () => {
        await this.#write();
        return [];
      },
      onError: (error) =>
        logger.warn(
          { error: String(error) },
          `ConfigMap ${namespace}/${installationName} could not be told where the record stands; it is tried again`,
        ),
    });
  }

  take(status: ControlPlaneStatus): void {
    const { remote } = this.#options;
    const place = remote === undefined ? undefined : { url: remote.url, branch: remote.branch, folder: remote.folder };
    this.#wanted = JSON.stringify({ ...shortened(status), ...(place === undefined ? {} : { remote: place }) }, null, 2);
    const seen = this.#options.seen();
    const asItWas = seen !== undefined && seen.metadata.resourceVersion === this.#there?.version;
    if (!asItWas || this.#wanted !== this.#there?.record) this.#queue.add("record");
  }

  /** Ends after what is being written. */
  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #write(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    this.#there = undefined;
    const { metadata } = await this.#say(wanted);
    this.#there = { record: wanted, version: metadata.resourceVersion };
  }

  async #say(record: string): Promise<KubeObject> {
    const { client, namespace, installation, logger } = this.#options;
    const path = `${paths.configMaps(namespace)}/${installationName}`;
    const there = await client.send<ReportingMap>({ path }).catch((error: unknown) => {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    });
    if (there === undefined) {
      logger.warn(`ConfigMap ${namespace}/${installationName} was deleted; it is made again with the id of this installation`);
      return makeInstallation(client, namespace, { installation, record });
    }
    // Another id was written by a person, and counts from the next start on.
    const lost = (there.data?.["installation"] ?? "") === "";
    if (!lost && there.data?.["record"] === record) return there;
    const contentType = "application/merge-patch+json";
    const body = { data: { record, ...(lost ? { installation } : {}) } };
    return client.send<KubeObject>({ method: "PATCH", path, query: { fieldManager }, contentType, body });
  }
}

interface ReportingMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** What the operator of a namespace says; undefined: it has said nothing yet. Rejects with KubeError. */
export async function recordReportIn(client: Pick<KubeClient, "send">, namespace: string): Promise<RecordReport | undefined> {
  const { data } = await client.send<ReportingMap>({ path: `${paths.configMaps(namespace)}/${installationName}` });
  const text = data?.["record"];
  return text === undefined ? undefined : (JSON.parse(text) as RecordReport);
}

function shortened(status: ControlPlaneStatus): Pick<RecordReport, "status" | "omitted"> {
  let omitted = 0;
  const text = (words: string) => words.slice(0, most.characters);
  const list = <T>(entries: readonly T[], shorten: (entry: T) => T): T[] => {
    omitted += Math.max(entries.length - most.entries, 0);
    return entries.slice(0, most.entries).map(shorten);
  };
  const problem = <T extends { message: string }>(entry: T): T => ({ ...entry, message: text(entry.message) });
  const { head, orphans, problems, warnings, waiting, sourceProblems } = status;
  const short: ControlPlaneStatus = {
    head,
    orphans: list(orphans, text),
    problems: list(problems, problem),
    warnings: list(warnings, problem),
    // With the command that lets it go on at its end: whole.
    waiting: list(waiting, (words) => words),
    ...(status.problem === undefined ? {} : { problem: text(status.problem) }),
    ...(status.otherInstallation === undefined ? {} : { otherInstallation: status.otherInstallation }),
    sourceProblems: list(sourceProblems, problem),
  };
  return { status: short, ...(omitted === 0 ? {} : { omitted }) };
}
