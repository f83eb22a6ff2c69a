// What clusters use: reports come in, plans read them (design: retention.md, `inUse`).

import type { ReportedImage, WorkloadReport, WorkloadsHeard } from "../../../api/control/workloads.ts";
import { parseDuration } from "../../../domain/duration.ts";
import type { ClusterFacts } from "../../../domain/retention/facts.ts";
import { resolveImages, type SeenImage } from "../../../domain/retention/image-names.ts";
import { clocksApart, reportValidFor } from "../../../domain/retention/in-use.ts";
import type { Database } from "../../metadata/database.ts";
import {
  forgetImages,
  hearCluster,
  readImages,
  readReports,
  storeProblem,
  storeSeenImages,
  storeWholeReport,
  type ImageTimes,
  type ReportRow,
} from "../../metadata/workloads.ts";
import type { Configuration, ConfigurationSource } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";

export interface WorkloadsOptions {
  readonly database: Database;
  readonly configuration: ConfigurationSource;
  /** Names of the clusters that count, from the settings. */
  readonly clusters: readonly string[];
}

/** What one plan or one apply knows of the clusters: names are resolved once, and again when something was reported or published. */
export interface ClusterReading {
  /** Another word, another answer: something was reported, or a report ceased to count. */
  word(): Promise<string>;
  /** Every configured cluster, also those that were never heard of. */
  facts(): Promise<readonly ClusterFacts[]>;
}

export interface ClusterSilence {
  readonly name: string;
  /** Its newest whole report is too old, or there was none. */
  readonly silent: boolean;
}

/** What nobody has seen for so long is forgotten, unless a policy's `keepFor` is longer: milliseconds. */
const rememberFor = 30 * 24 * 3_600_000;

export class Workloads {
  readonly #options: WorkloadsOptions;

  constructor(options: WorkloadsOptions) {
    this.#options = options;
  }

  /** ServiceError NOT_FOUND when the cluster is not configured, INVALID when a time is none or lies ahead. */
  async report(cluster: string, report: WorkloadReport): Promise<WorkloadsHeard> {
    const { database, clusters } = this.#options;
    if (!clusters.includes(cluster)) {
      throw new ServiceError("NOT_FOUND", `No cluster ${cluster} is configured. Add it to the setting \`clusters\`: [{name: ${cluster}}].`);
    }
    const takenAt = readTime(report.takenAt, "takenAt");
    const images = readImageTimes(report.images, takenAt);
    return database.transaction(async (transaction) => {
      const before = await hearCluster(transaction, cluster);
      if (takenAt > before.now + clocksApart) {
        throw new ServiceError(
          "INVALID",
          `The report says that it was taken at ${report.takenAt}, and it is ${new Date(before.now).toISOString()} here. Set the clock of the machine that reports for cluster ${cluster}.`,
        );
      }
      const at = Math.min(takenAt, before.now);
      const whole = report.complete && (before.takenAt === null || at > before.takenAt);
      if (whole) {
        const namespaces = report.scope === "Cluster" ? null : report.scope;
        const current = images.filter(({ lastSeen }) => lastSeen >= takenAt);
        await storeWholeReport(transaction, cluster, {
          takenAt: new Date(at),
          namespaces,
          images: current.map((image) => datesOf(image, at)),
        });
      }
      const seen = whole ? images.filter(({ lastSeen }) => lastSeen < takenAt) : images;
      await storeSeenImages(
        transaction,
        cluster,
        seen.map((image) => datesOf(image, at)),
      );
      if (!report.complete && report.problem !== undefined) await storeProblem(transaction, cluster, report.problem);
      if (whole) await forgetImages(transaction, this.#rememberFor());
      const reportedAt = whole ? at : before.takenAt;
      return { cluster, images: images.length, reportedAt: reportedAt === null ? null : new Date(reportedAt).toISOString() };
    });
  }

  /** For one plan or one apply. */
  read(): ClusterReading {
    const { database, configuration, clusters } = this.#options;
    if (clusters.length === 0) return nobodyToAsk;
    let known: { readonly word: string; readonly facts: readonly ClusterFacts[] } | undefined;
    const look = async () => {
      const reports = await readReports(database, clusters);
      return { reports, word: wordOf(reports, configuration.current().revision) };
    };
    return {
      word: async () => (await look()).word,
      facts: async () => {
        const { reports, word } = await look();
        if (known?.word === word) return known.facts;
        const facts = this.#factsOf(
          reports,
          Map.groupBy(await readImages(database, clusters), ({ cluster }) => cluster),
        );
        known = { word, facts };
        return facts;
      },
    };
  }

  /** Of each configured cluster. */
  async silences(): Promise<readonly ClusterSilence[]> {
    const { database, clusters } = this.#options;
    if (clusters.length === 0) return [];
    const reports = await readReports(database, clusters);
    const heard = new Set(reports.filter(counts).map(({ cluster }) => cluster));
    return clusters.map((name) => ({ name, silent: !heard.has(name) }));
  }

  #factsOf(reports: readonly ReportRow[], images: ReadonlyMap<string, readonly SeenImage[]>): readonly ClusterFacts[] {
    const { clusters, configuration } = this.#options;
    const served = namesOf(configuration.current());
    return clusters.map((name): ClusterFacts => {
      const report = reports.find(({ cluster }) => cluster === name);
      return {
        name,
        ...(report === undefined || report.takenAt === null ? {} : { reportedAt: report.takenAt }),
        scope: report?.namespaces ?? "Cluster",
        ...(report === undefined || report.problem === null ? {} : { problem: report.problem }),
        images: resolveImages(images.get(name) ?? [], served),
      };
    });
  }

  #rememberFor(): number {
    const policies = this.#options.configuration.current().retentionPolicies;
    return Math.max(rememberFor, ...policies.map(({ spec }) => parseDuration(spec.inUse?.keepFor ?? "") ?? 0));
  }
}

const nobodyToAsk: ClusterReading = { word: async () => "", facts: async () => [] };

/** Old age comes without a report, and keeps everything: it is part of the word. */
function wordOf(reports: readonly ReportRow[], revision: string | null): string {
  return JSON.stringify([revision, reports.map((report) => [report.cluster, report.version, counts(report)])]);
}

function counts({ age }: ReportRow): boolean {
  return age !== null && age < reportValidFor;
}

function namesOf(configuration: Configuration) {
  return {
    byHost: (host: string) => configuration.upstreamByHost(host)?.spec,
    byPrefix: (prefix: string) => configuration.upstreamByPrefix(prefix)?.spec,
  };
}

interface Times {
  readonly image: string;
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** Each image once, with the widest times. */
function readImageTimes(images: readonly ReportedImage[], takenAt: number): readonly Times[] {
  const found = new Map<string, Times>();
  for (const { image, firstSeen, lastSeen } of images) {
    const last = lastSeen === undefined ? takenAt : Math.min(readTime(lastSeen, `lastSeen of ${image}`), takenAt);
    const first = firstSeen === undefined ? last : Math.min(readTime(firstSeen, `firstSeen of ${image}`), last);
    const before = found.get(image);
    found.set(image, {
      image,
      firstSeen: Math.min(first, before?.firstSeen ?? Infinity),
      lastSeen: Math.max(last, before?.lastSeen ?? -Infinity),
    });
  }
  return [...found.values()];
}

/** A reporter whose clock is ahead is believed up to now. */
function datesOf({ image, firstSeen, lastSeen }: Times, now: number): ImageTimes {
  return { image, firstSeen: new Date(Math.min(firstSeen, now)), lastSeen: new Date(Math.min(lastSeen, now)) };
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function readTime(text: string, field: string): number {
  const time = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw new ServiceError("INVALID", `${field} is not a time such as 2026-11-21T14:03:00Z.`);
  return time;
}
