// The resources, Secrets and ConfigMaps of standalone mode: the files of a folder, kept current while they are edited.
//
// A file counts whole or as it was before: one that is malformed, or has a document nobody can read, changes nothing until it is mended.
// What a resource says is not judged here; the control plane does that, as it does in a cluster.

import { readFile, stat } from "node:fs/promises";

import type { SecretData, SecretSource } from "../domain/secrets.ts";
import type { Logger } from "../observability/logger.ts";
import type { ResourceSnapshot, ResourceSource, SourceProblem } from "../operator/ports.ts";
import { joinDocuments, readFileDocuments, type FileDocuments } from "../validation/documents.ts";
import { maxFileBytes } from "../validation/yaml.ts";
import { listFolder, type FolderFile, type FolderListing } from "./folder-files.ts";
import { watchFolder, type WatchTimes } from "./folder-watch.ts";

interface HeldFile {
  readonly fingerprint: string;
  /** What counts: of the last text without a problem, or of the only one there ever was. */
  readonly documents: FileDocuments;
  readonly problems: readonly SourceProblem[];
  /** false: it never was without a problem, so nobody knows what it should hold. */
  readonly whole: boolean;
}

export interface FolderSource extends ResourceSource, SecretSource {
  /** Ends the watching. What was read stays readable. */
  close(): Promise<void>;
}

/** Reads the folder and watches it. Rejects with an Error that says what to do when there is no such folder. */
export async function openFolderSource(folder: string, options: { logger: Logger; times?: WatchTimes }): Promise<FolderSource> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new Error(`The configuration folder ${folder} is not a folder. Make it, or name another one with --config.`);
  const source = new WatchedFolder(folder, options.logger);
  const listing = await listFolder(folder);
  await source.take(listing);
  source.watch(listing, options.times);
  return source;
}

class WatchedFolder implements FolderSource {
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #listeners = new Set<() => void>();
  /** In the order in which they came: of two files with the same resource the one that was there first counts. */
  #files = new Map<string, HeldFile>();
  #snapshot: ResourceSnapshot = { resources: [], problems: [], complete: false };
  #secrets = new Map<string, SecretData>();
  #stop: () => Promise<void> = async () => {};

  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  snapshot(): ResourceSnapshot {
    return this.#snapshot;
  }

  secret(namespace: string, name: string): SecretData | undefined {
    return this.#secrets.get(`Secret ${namespace}/${name}`);
  }

  configMap(namespace: string, name: string): SecretData | undefined {
    return this.#secrets.get(`ConfigMap ${namespace}/${name}`);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    return this.#stop();
  }

  watch(known: FolderListing, times?: WatchTimes): void {
    this.#stop = watchFolder({
      folder: this.#folder,
      known,
      ...(times === undefined ? {} : { times }),
      onChange: (listing) => this.take(listing),
      onRestless: (name) =>
        this.#logger.warn(
          { source: name },
          `${name} is written over and over: what counted before stays until it is left alone for a moment`,
        ),
      onError: (error) => this.#logger.error({ err: error, folder: this.#folder }, "the configuration folder could not be looked at"),
    });
  }

  async take(listing: FolderListing): Promise<void> {
    const files = new Map<string, HeldFile>();
    const present = new Map(listing.files.map((file) => [file.name, file]));
    for (const [name, held] of this.#files) {
      const file = present.get(name);
      if (file !== undefined) files.set(name, await reread(file, held));
      else if (hidden(name, listing)) files.set(name, held);
    }
    for (const file of listing.files) if (!files.has(file.name)) files.set(file.name, await reread(file, undefined));
    this.#files = files;
    this.#publish(listing);
  }

  #publish(listing: FolderListing): void {
    const { resources, secrets, problems } = joinDocuments([...this.#files.values()].map(({ documents }) => documents));
    const held = [...this.#files.values()];
    const before = this.#snapshot;
    const own = new Set(held.flatMap((file) => file.problems).map(lineOf));
    this.#snapshot = {
      resources,
      problems: [
        ...listing.unreadable.map(({ name, message }) => ({ source: name === "" ? this.#folder : name, line: undefined, message })),
        ...held.flatMap((file) => file.problems),
        // Between files: the same resource twice.
        ...problems.filter((problem) => !own.has(lineOf(problem))),
      ],
      complete: listing.unreadable.length === 0 && held.every(({ whole }) => whole),
    };
    this.#secrets = new Map(secrets.map(({ kind, namespace, name, data }) => [`${kind} ${namespace}/${name}`, data]));
    this.#report(before);
    for (const listener of this.#listeners) listener();
  }

  #report(before: ResourceSnapshot): void {
    const known = new Set(before.problems.map(lineOf));
    const { problems, complete } = this.#snapshot;
    for (const problem of problems.filter((candidate) => !known.has(lineOf(candidate)))) {
      this.#logger.error({ source: problem.source, line: problem.line }, `${lineOf(problem)}; what counted before stays`);
    }
    const now = new Set(problems.map(lineOf));
    for (const problem of before.problems)
      if (!now.has(lineOf(problem))) this.#logger.info({ source: problem.source }, `mended: ${lineOf(problem)}`);
    if (!complete && (before.complete || before.resources.length === 0))
      this.#logger.warn("the configuration folder could not be read whole: until it can, nothing counts as removed");
  }
}

/** `upstreams.yaml:12: what is wrong`. */
function lineOf({ source, line, message }: SourceProblem): string {
  return `${line === undefined ? source : `${source}:${line}`}: ${message}`;
}

/** It may still be there: it, or a folder around it, could not be looked at. */
function hidden(name: string, { unreadable }: FolderListing): boolean {
  return unreadable.some((place) => place.name === "" || place.name === name || name.startsWith(`${place.name}/`));
}

async function reread(file: FolderFile, held: HeldFile | undefined): Promise<HeldFile> {
  const { name, fingerprint } = file;
  if (held?.fingerprint === fingerprint) return held;
  const refused = (message: string): HeldFile => ({
    fingerprint,
    documents: held?.documents ?? { name, problems: [], documents: [] },
    whole: held?.whole ?? false,
    problems: [{ source: name, line: undefined, message }],
  });
  try {
    const { size } = await stat(file.path);
    if (size > maxFileBytes) return refused(`is larger than ${maxFileBytes / 1024 / 1024} MiB: split it`);
    const documents = readFileDocuments({ name, text: await readFile(file.path, "utf8") });
    const { problems } = joinDocuments([documents]);
    if (problems.length === 0) return { fingerprint, documents, problems, whole: true };
    // Never seen whole: its readable documents count, rather than nothing.
    return { fingerprint, documents: held?.whole === true ? held.documents : documents, problems, whole: held?.whole ?? false };
  } catch (error) {
    return refused(`cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
  }
}
