// When the files of a folder changed, file by file: one that is written over and over holds up no other.

import { setTimeout as sleep } from "node:timers/promises";

import { listFolder, type FolderFile, type FolderListing, type LookOptions, type UnreadablePlace } from "./folder-files.ts";

export interface FolderWatchOptions {
  readonly folder: string;
  /** Called with what counts whenever that changed: each file as it was found the same twice in a row, or as it was before. */
  readonly onChange: (listing: FolderListing) => Promise<void>;
  /** What has been read already. */
  readonly known: FolderListing;
  readonly onError: (error: unknown) => void;
  /** Called once for a file that does not come to rest. */
  readonly onRestless?: (name: string) => void;
  readonly times?: WatchTimes;
  /** Tests only: another way to look. */
  readonly look?: (folder: string, options: LookOptions) => Promise<FolderListing>;
}

/** Milliseconds. */
export interface WatchTimes {
  /** Between two looks. */
  readonly pause: number;
  /** Between two looks that must agree: an editor that empties a file before it writes is not caught half way. */
  readonly settle: number;
}

const ordinaryTimes: WatchTimes = { pause: 400, settle: 120 };
/** Milliseconds. With it an edit counts within 2 s: this, two looks and the settling. */
const longestRest = 1_000;
/** Milliseconds. Twenty times what a look costs: a large folder is looked at less often. */
const restPerPlace = 1;
/** Looks that found a file different each time, until somebody is told. */
const restlessAfter = 20;

/**
 * Milliseconds until the next look. By what the look had to do, never by how long it took: a process that is busy with other things would
 * take its own delay for a slow folder, and heed a revocation the later the more it has to do.
 */
export function restAfter({ files, unreadable }: FolderListing, pause: number): number {
  return Math.max(pause, Math.min(longestRest, (files.length + unreadable.length) * restPerPlace));
}

/** Looks until the function it returns is called, which also ends a look under way. */
export function watchFolder(options: FolderWatchOptions): () => Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const { times: { pause, settle } = ordinaryTimes, look = listFolder } = options;
  const loop = async () => {
    let known = options.known;
    let last = options.known;
    let rest = pause;
    let settling = false;
    const looks = new Map<string, number>();
    while (await awake(rest, signal)) {
      try {
        const now = await look(options.folder, { signal });
        const { counts, unsettled } = settled(known, last, now);
        last = now;
        // A file that never rests gets one quick second look in turn with the ordinary ones, not all of them.
        settling = unsettled.length > 0 && !settling;
        rest = settling ? settle : Math.max(restAfter(now, pause), unsettled.length > 0 ? settle : 0);
        tellRestless(looks, unsettled, options.onRestless);
        if (signature(counts) === signature(known)) continue;
        await options.onChange(counts);
        known = counts;
      } catch (error) {
        if (!signal.aborted) options.onError(error);
      }
    }
  };
  const done = loop();
  return async () => {
    stopping.abort();
    await done;
  };
}

interface Settled {
  /** What was found the same in two looks; for the rest what counted before. */
  readonly counts: FolderListing;
  /** Names of files that differ from the look before. */
  readonly unsettled: readonly string[];
}

/** `known`: what counts; `last` and `now`: the two newest looks. */
function settled(known: FolderListing, last: FolderListing, now: FolderListing): Settled {
  const [knownFiles, lastFiles, nowFiles] = [known, last, now].map(byName) as [Files, Files, Files];
  const isSettled = (name: string): boolean => lastFiles.get(name)?.fingerprint === nowFiles.get(name)?.fingerprint;
  const names = [...nowFiles.keys(), ...[...lastFiles.keys(), ...knownFiles.keys()].filter((name) => !nowFiles.has(name))];
  const files = [...new Set(names)].flatMap((name) => (isSettled(name) ? nowFiles : knownFiles).get(name) ?? []);
  return {
    counts: { files, unreadable: unreadableIn(known, last, now) },
    unsettled: [...new Set(names)].filter((name) => !isSettled(name)),
  };
}

type Files = ReadonlyMap<string, FolderFile>;

function byName({ files }: FolderListing): Files {
  return new Map(files.map((file) => [file.name, file]));
}

/** Places that two looks could not look into, until two looks could: as long as one counts, the files below it do not seem to be gone. */
function unreadableIn(known: FolderListing, last: FolderListing, now: FolderListing): readonly UnreadablePlace[] {
  const [counted, before] = [known, last].map(({ unreadable }) => new Set(unreadable.map(({ name }) => name)));
  const seen = new Map([...last.unreadable, ...now.unreadable].map((place) => [place.name, place]));
  const twice = new Set(now.unreadable.map(({ name }) => name).filter((name) => before?.has(name)));
  return [...seen.values()].filter(({ name }) => twice.has(name) || counted?.has(name));
}

function tellRestless(looks: Map<string, number>, unsettled: readonly string[], tell: FolderWatchOptions["onRestless"]): void {
  const restless = new Set(unsettled);
  for (const name of looks.keys()) if (!restless.has(name)) looks.delete(name);
  for (const name of restless) {
    const seen = (looks.get(name) ?? 0) + 1;
    looks.set(name, seen);
    if (seen === restlessAfter) tell?.(name);
  }
}

function signature({ files, unreadable }: FolderListing): string {
  return JSON.stringify([files.map(({ name, fingerprint }) => `${name} ${fingerprint}`).sort(), unreadable]);
}

/** False when it is time to end. */
async function awake(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  return sleep(milliseconds, true, { signal }).catch(() => false);
}
