// The marker in the store: an object for each counter, `marker/<installation>/<counter>`, of which the highest counts (storage.md, "Backup").

import { BlobStoreError } from "../../blobs/blob-store.ts";
import type { NamedObjects } from "../../blobs/named-objects.ts";

/** Zeros in front, so that a person's listing is in order. */
const digits = 12;
/** Older ones stay a while: a listing that is not of one moment must not see one go and miss the next. */
const kept = 8;

export interface Markers {
  /** The highest of this installation; 0: there is none. */
  readonly counter: number;
  /** Other installations that have one here. */
  readonly others: readonly string[];
  readonly own: readonly number[];
}

export async function readMarkers(named: NamedObjects, installation: string): Promise<Markers> {
  const own: number[] = [];
  const others = new Set<string>();
  for await (const { name, finished } of named.list("marker/")) {
    const [, id = "", counter = ""] = name.split("/");
    if (!finished) continue;
    if (id === installation && /^\d+$/.test(counter)) own.push(Number(counter));
    else others.add(id);
  }
  return { counter: Math.max(0, ...own), others: [...others], own };
}

/** Durable when it resolves. */
export async function writeMarker(named: NamedObjects, installation: string, counter: number, { own }: Markers): Promise<void> {
  await named.put(nameOf(installation, counter), described(installation, counter));
  await named.delete(own.filter((older) => older <= counter - kept).map((older) => nameOf(installation, older)));
}

/** Takes away the markers of installations whose place this one took. */
export async function removeMarkers(named: NamedObjects, installations: readonly string[]): Promise<void> {
  const doomed: string[] = [];
  for (const id of installations) for await (const { name } of named.list(`marker/${id}/`)) doomed.push(name);
  await named.delete(doomed);
}

/** For a person who looks into the bucket; the name says all that counts. */
async function* described(installation: string, counter: number): AsyncGenerator<Uint8Array> {
  const text = "Wharfinger's marker: it says which installation these objects belong to. See docs/guides/backup-and-restore.md.";
  yield Buffer.from(`${JSON.stringify({ installation, counter, text }, null, 2)}\n`);
}

function nameOf(installation: string, counter: number): string {
  if (counter >= 10 ** digits) throw new BlobStoreError("Failed", "The marker's counter has run out.");
  return `marker/${installation}/${String(counter).padStart(digits, "0")}`;
}
