// A whole import: repositories of a source into the registry, over its own API. Run again, it sends what is missing.

import { LRUCache } from "lru-cache";

import { PushClient } from "../client/push-client.ts";
import { RegistryClient } from "../client/registry-client.ts";
import type { ClientOptions } from "../client/transport.ts";
import type { Digest } from "../domain/digest.ts";
import { isRepositoryName } from "../domain/reference.ts";
import { BlobCopies } from "./blob-copies.ts";
import { each } from "./each.ts";
import { SourceError, type ImportSource, type SourceManifest } from "./import-source.ts";
import { explicitNames, nameHere, selects, type NameOptions } from "./names.ts";
import { Patience, type PatienceOptions } from "./patience.ts";
import { ImportReport, type ImportResult } from "./report.ts";
import { RepositoryImport, type RepositoryOptions } from "./repository-import.ts";
import { createTraffic, kindOf, RepositoryRefused } from "./traffic.ts";

export interface ImportOptions {
  readonly source: ImportSource;
  /** The registry here, and somebody who may push. */
  readonly target: ClientOptions;
  readonly names: NameOptions;
  /** Repositories, and requests and blobs on their way, at a time. */
  readonly concurrency: number;
  readonly overwriteTags: boolean;
  readonly untagged: boolean;
  readonly dryRun: boolean;
  readonly report: ImportReport;
  /** A repository is done. */
  readonly onRepository?: (from: string, to: string) => void;
  readonly patience?: Omit<PatienceOptions, "signal">;
}

const recentBytes = 64 * 1024 * 1024;

/** Resolves also when things stayed behind: the result names them. Rejects with SourceError or ClientError when it could not go on. */
export async function importRegistry(options: ImportOptions): Promise<ImportResult> {
  const { source, target, report, dryRun, concurrency } = options;
  const ended = new AbortController();
  const connection = { ...target, connections: concurrency };
  const push = new PushClient(connection);
  const registry = new RegistryClient(connection);
  const patience = new Patience({ ...options.patience, signal: ended.signal });
  const traffic = createTraffic({ source, target: push, concurrency, patience });
  const recent = new LRUCache<Digest, SourceManifest>({ maxSize: recentBytes, sizeCalculation: ({ bytes }) => bytes.byteLength + 1 });
  const shared = { ...options, traffic, registry, recent, blobs: new BlobCopies({ traffic, report, dryRun }) };
  try {
    const repositories = selected(options, await listed(options, patience));
    await each(repositories, { limit: concurrency }, async ([to, from]) => {
      await importRepository({ ...shared, from, to });
      report.counts.repositories.done++;
      options.onRepository?.(from, to);
    });
    return report.result({ source: source.name, target: target.url, dryRun });
  } finally {
    ended.abort();
    await Promise.all([push.destroy(), registry.destroy()]);
  }
}

async function importRepository(options: RepositoryOptions): Promise<void> {
  try {
    await new RepositoryImport(options).run();
  } catch (error) {
    if (!(error instanceof RepositoryRefused)) throw error;
    options.report.problem({ kind: "refused", repository: options.from, message: `${options.to}: ${error.message}` });
  }
}

/** Every name in the source, unless they were given. A list that breaks off is asked for again from its beginning. */
async function listed({ source, names, report }: ImportOptions, patience: Patience): Promise<Iterable<string>> {
  const given = explicitNames(names);
  if (given !== undefined) return given;
  const { found, left } = await patience.with(async () => {
    const found = new Set<string>();
    const left = new Map<string, SourceError>();
    for await (const name of source.repositories((folder, why) => left.set(folder, why))) report.listed = found.add(name).size;
    return { found, left };
  });
  for (const [folder, why] of left)
    report.problem({
      kind: kindOf(why) ?? "unreadable",
      repository: folder,
      message: `${why.message}; no repository below it was looked for`,
    });
  return found;
}

/** Name here → name in the source. Names that cannot be used here are told. */
function selected({ source, names, report }: ImportOptions, all: Iterable<string>): ReadonlyMap<string, string> {
  const repositories = new Map<string, string>();
  const isSelected = selects(names);
  let seen = 0;
  for (const from of all) {
    seen++;
    if (!isSelected(from)) continue;
    const to = nameHere(from, names);
    const other = repositories.get(to);
    if (other !== undefined && other !== from)
      throw new SourceError(
        "Unusable",
        `${other} and ${from} would both be called ${to} here. Import them one after the other, with another --rename.`,
      );
    if (isRepositoryName(from) && isRepositoryName(to)) report.counts.repositories.selected = repositories.set(to, from).size;
    else
      report.problem({
        kind: "name",
        repository: from,
        message: `${to} is not a name that a repository can have here; --rename gives it another`,
      });
  }
  if (seen === 0 && report.empty) throw new SourceError("Unusable", `${source.name} has no repository.`);
  if (repositories.size === 0 && report.empty)
    throw new SourceError(
      "Unusable",
      `None of the ${seen} repositories of ${source.name} is selected by --repository ${names.repositories.join(", ")}.`,
    );
  return repositories;
}
