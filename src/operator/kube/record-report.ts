// Where the record stands, for people who have the cluster and not the operator's folder: the key `record` of the installation's ConfigMap, written
// when it says something else than before. The registry is not asked for it: it serves what was published, and need not be there.

import type { ControlPlaneStatus } from "../../api/control/record.ts";
import type { RemoteSettings } from "../../domain/record-settings.ts";
import type { Logger } from "../../observability/logger.ts";
import { BatchQueue } from "../batch-queue.ts";
import { installationName } from "./installation.ts";
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
  readonly remote: ReportedRemote | undefined;
  readonly logger: Logger;
}

/** An object has room for a megabyte: entries of a list, and characters of one. */
const most = { entries: 100, characters: 1_000 } as const;

export class RecordReporter {
  readonly #options: RecordReporterOptions;
  readonly #queue: BatchQueue;
  #wanted: string | undefined;
  /** Undefined: what is there is not known. */
  #there: string | undefined;

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
    if (this.#wanted !== this.#there) this.#queue.add("record");
  }

  /** Ends after what is being written. */
  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #write(): Promise<void> {
    const { client, namespace } = this.#options;
    const path = `${paths.configMaps(namespace)}/${installationName}`;
    this.#there ??= (await client.send<ReportingMap>({ path })).data?.["record"];
    const wanted = this.#wanted;
    if (wanted === undefined || wanted === this.#there) return;
    this.#there = undefined;
    const contentType = "application/merge-patch+json";
    await client.send({ method: "PATCH", path, query: { fieldManager }, contentType, body: { data: { record: wanted } } });
    this.#there = wanted;
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
    sourceProblems: list(sourceProblems, problem),
  };
  return { status: short, ...(omitted === 0 ? {} : { omitted }) };
}
