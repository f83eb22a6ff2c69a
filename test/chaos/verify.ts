// Invariants 1, 2 and 3 over HTTP: what the journal says was acknowledged is there (or gone), on every process, and hashes to its digest.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { Entry } from "./journal.ts";

interface Expectation {
  /** Undefined: a delete was asked for and not answered, so both are right. */
  readonly present: boolean | undefined;
  readonly blobs: readonly string[];
}

export interface Verified {
  readonly manifests: number;
  readonly blobs: number;
  readonly problems: readonly string[];
}

const atOnce = 8;
/** Milliseconds for which somebody who asks is told to come again: a busy machine, and nothing lost. */
const patience = 60_000;

/** `urls`: every process is asked for every manifest and tag, one of them for each blob. Call it when nobody writes. */
export async function verifyJournal(entries: readonly Entry[], urls: readonly string[]): Promise<Verified> {
  const problems: string[] = [];
  const { manifests, tags } = expectationsOf(entries);
  let blobsRead = 0;
  const blobs = new Map<string, string>();
  const tasks: (() => Promise<void>)[] = [];
  for (const [name, { present, blobs: named }] of manifests) {
    if (present === undefined) continue;
    const [repository = "", digest = ""] = name.split("@");
    if (present) for (const blob of named) blobs.set(`${repository}@${blob}`, blob);
    for (const url of urls) {
      tasks.push(async () => {
        const { status, hash } = await read(`${url}/v2/${repository}/manifests/${digest}`, digest);
        if (present && status !== 200) problems.push(`2: ${name} was acknowledged and is ${status}`);
        if (present && status === 200 && hash !== digest) problems.push(`1: ${name} has other bytes`);
        if (!present && status !== 404) problems.push(`2: ${name} was deleted and is ${status}`);
      });
    }
  }
  for (const [name, possible] of tags) {
    if (name.endsWith(":")) continue;
    const [repository = "", tag = ""] = name.split(":");
    for (const url of urls) {
      tasks.push(async () => {
        const { status, hash } = await read(`${url}/v2/${repository}/manifests/${tag}`, "sha256:");
        const found = status === 404 ? null : hash;
        if (![200, 404].includes(status) || !possible.has(found))
          problems.push(`2: ${name} is ${found ?? status} and should be one of ${[...possible].join(", ")}`);
      });
    }
  }
  for (const [index, [name, digest]] of [...blobs].entries()) {
    const [repository = ""] = name.split("@");
    tasks.push(async () => {
      const { status, hash } = await read(`${urls[index % urls.length]}/v2/${repository}/blobs/${digest}`, digest);
      blobsRead++;
      if (status !== 200) problems.push(`1: the blob ${name} of an acknowledged manifest is ${status}`);
      else if (hash !== digest) problems.push(`1: the blob ${name} has other bytes`);
    });
  }
  const waiting = tasks.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const task of waiting) await task();
    }),
  );
  return { manifests: [...manifests.values()].filter(({ present }) => present).length, blobs: blobsRead, problems };
}

/** Clients are sequential and tags and digests are one client's, so the order of the journal is the order of what happened. */
function expectationsOf(entries: readonly Entry[]): {
  readonly manifests: ReadonlyMap<string, Expectation>;
  readonly tags: ReadonlyMap<string, ReadonlySet<string | null>>;
} {
  const manifests = new Map<string, Expectation>();
  const tags = new Map<string, Set<string | null>>();
  for (const { intent, acknowledged } of entries) {
    const name = `${intent.repository}@${intent.digest}`;
    if (intent.op === "push") {
      if (acknowledged) manifests.set(name, { present: true, blobs: intent.blobs });
      const tag = `${intent.repository}:${intent.tag}`;
      // What was not answered may still happen, at any time.
      const unanswered = entries.filter(
        (other) => !other.acknowledged && other.intent.op === "push" && `${other.intent.repository}:${other.intent.tag}` === tag,
      );
      const before = tags.get(tag) ?? new Set([null]);
      tags.set(tag, new Set([...(acknowledged ? [intent.digest] : [...before]), ...unanswered.map((other) => other.intent.digest)]));
      continue;
    }
    const known = manifests.get(name);
    if (known !== undefined) manifests.set(name, { ...known, present: acknowledged ? false : undefined });
    for (const [tag, possible] of tags) {
      if (!tag.startsWith(`${intent.repository}:`) || !possible.has(intent.digest)) continue;
      possible.add(null);
      if (acknowledged) possible.delete(intent.digest);
    }
  }
  return { manifests, tags };
}

async function read(url: string, digest: string): Promise<{ status: number; hash: string }> {
  const accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
  const get = () => fetch(url, { headers: { accept }, signal: AbortSignal.timeout(patience) });
  let reply = await get();
  for (const end = performance.now() + patience; reply.status === 503 && performance.now() < end; reply = await get()) {
    await reply.arrayBuffer();
    await sleep(500);
  }
  const [algorithm = ""] = digest.split(":");
  return {
    status: reply.status,
    hash: `${algorithm}:${createHash(algorithm)
      .update(new Uint8Array(await reply.arrayBuffer()))
      .digest("hex")}`,
  };
}
