// What goes into the one Secret that the registry's processes mount, and what does not fit (design: operator, "Upstream").

import { reasons } from "../api/conditions.ts";
import { fileNameOf, longestFileName, ownerOf, parseFileName } from "../domain/mounted-secrets.ts";
import type { SecretData } from "../domain/secrets.ts";
import type { Finding } from "./reconcilers/skeleton.ts";
import type { WantedSecret } from "./secret-references.ts";

/** Bytes in all: a Secret has at most a MiB, and who owns which key of it is stored beside it. */
export const mostBytes = 900 * 1024;
/** Bytes of one key: enough for the authorities of a company, and nobody's bundle takes the room of all others. */
export const mostOfKey = 64 * 1024;

export type SecretContent =
  | { readonly state: "there"; readonly data: SecretData }
  | { readonly state: "gone" }
  /** It could not be read: then it is not known to be gone. */
  | { readonly state: "unknown" };

export type Files = ReadonlyMap<string, Uint8Array>;

export interface Bundle {
  readonly files: Files;
  /** What is left out, by its owner (domain/mounted-secrets.ts). */
  readonly left: ReadonlyMap<string, Finding>;
}

interface Part {
  readonly owner: string;
  readonly namespace: string;
  readonly first: boolean;
  readonly files: Files;
  readonly bytes: number;
  /** The smaller, the sooner it gets its room. */
  readonly rank: number;
}

/**
 * `before`: what the processes have. `isFirst`: the administrators' and the users, whom nobody keeps out; namespaces share equally what is left of
 * the room, and what one of them does not need the others may have. In a namespace whoever is there and did not grow keeps his place whatever else
 * comes, then who grew, then who is new, each in the order of the names. `keepOthers`: what nobody wants any more stays as well, as long as its
 * Secret is there.
 */
export function bundleOf(
  wanted: readonly WantedSecret[],
  world: {
    readonly contentOf: (namespace: string, name: string) => SecretContent;
    readonly before: Files;
    readonly keepOthers: boolean;
    readonly isFirst: (secret: { readonly namespace: string; readonly name: string }) => boolean;
  },
): Bundle {
  const before = byOwner(world.before);
  const left = new Map<string, Finding>();
  const parts: Part[] = [];
  const all = world.keepOthers ? [...wanted, ...asBefore(world.before)] : wanted;
  for (const [owner, uses] of Map.groupBy(all, (secret) => ownerOf({ ...secret, kind: "Secret" }))) {
    const [{ namespace, name } = { namespace: "", name: "" }] = uses;
    const old = before.get(owner) ?? new Map<string, Uint8Array>();
    const content = world.contentOf(namespace, name);
    const files = content.state === "there" ? pick(content.data, uses) : content.state === "gone" ? new Map<string, Uint8Array>() : old;
    const refusal = refusalOf(`${namespace}/${name}`, files);
    if (refusal !== undefined) left.set(owner, refusal);
    else if (files.size > 0) {
      const bytes = sizeOf(files);
      parts.push({ owner, namespace, first: world.isFirst({ namespace, name }), files, bytes, rank: rankOf(bytes, sizeOf(old)) });
    }
  }
  const taken = thatFit(parts);
  for (const part of parts) if (!taken.has(part)) left.set(part.owner, noRoom(part));
  const files = [...taken].flatMap(({ files }) => [...files]);
  return { files: new Map(files.sort(([a], [b]) => (a < b ? -1 : 1))), left };
}

function thatFit(parts: readonly Part[]): ReadonlySet<Part> {
  const sorted = parts.toSorted((a, b) => a.rank - b.rank || (a.owner < b.owner ? -1 : 1));
  const taken = new Set<Part>();
  let room = mostBytes;
  const take = (wanted: readonly Part[], most: number): void => {
    let left = most;
    for (const part of wanted.filter((candidate) => !taken.has(candidate))) {
      if (part.bytes > left) continue;
      left -= part.bytes;
      room -= part.bytes;
      taken.add(part);
    }
  };
  const others = sorted.filter(({ first }) => !first);
  take(
    sorted.filter(({ first }) => first),
    room,
  );
  const namespaces = [...Map.groupBy(others, ({ namespace }) => namespace).values()].sort((a, b) => bytesOf(a) - bytesOf(b));
  for (const [index, wanted] of namespaces.entries()) take(wanted, Math.floor(room / (namespaces.length - index)));
  // What is too large for what is left of one share may fit into what is left of all.
  take(others, room);
  return taken;
}

function bytesOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** What belongs to whom. */
export function byOwner(files: Files): ReadonlyMap<string, Files> {
  const owners = new Map<string, Map<string, Uint8Array>>();
  for (const [file, bytes] of files) {
    const named = parseFileName(file);
    if (named === undefined) continue;
    const own = owners.get(ownerOf(named)) ?? new Map<string, Uint8Array>();
    owners.set(ownerOf(named), own.set(file, bytes));
  }
  return owners;
}

function asBefore(files: Files): readonly WantedSecret[] {
  return [...files.keys()].flatMap((file) => {
    const named = parseFileName(file);
    return named?.kind === "Secret" ? [{ namespace: named.namespace, name: named.name, uses: (key: string) => key === named.key }] : [];
  });
}

function pick(data: SecretData, wanted: readonly WantedSecret[]): Files {
  return new Map(
    [...data].flatMap(([key, bytes]) => {
      const use = wanted.find(({ uses }) => uses(key));
      return use === undefined ? [] : [[fileNameOf({ kind: "Secret", namespace: use.namespace, name: use.name, key }), bytes] as const];
    }),
  );
}

/** A name counts twice: it stands in the data, and in the list of who owns what. */
function sizeOf(files: Files): number {
  return [...files].reduce((sum, [file, bytes]) => sum + 2 * file.length + bytes.byteLength, 0);
}

function rankOf(now: number, before: number): number {
  if (before === 0) return 2;
  return now <= before ? 0 : 1;
}

function refusalOf(name: string, files: Files): Finding | undefined {
  for (const [file, { byteLength }] of files) {
    const key = parseFileName(file)?.key ?? "";
    if (file.length > longestFileName) {
      const message = `the names of Secret ${name} and of its key ${key} are too long together (${file.length} characters, ${longestFileName} at most): give it a shorter one`;
      return { reason: reasons.secretInvalid, message };
    }
    // Of users there may be thousands, and their Secret is the administrators'.
    if (byteLength > mostOfKey && key !== "htpasswd") {
      const message = `Secret ${name} has ${byteLength} bytes in ${key}, ${mostOfKey} at most are taken: leave out what this registry does not need`;
      return { reason: reasons.credentialsTooLarge, message };
    }
  }
  return undefined;
}

function noRoom({ owner, bytes }: Part): Finding {
  const name = owner.replace(/^Secret /, "");
  const message = `there is no room for the ${bytes} bytes of Secret ${name}: all Secrets that resources name may have ${mostBytes} together, the administrators' first and each other namespace an equal share, in which those that were there before it stay. Make it smaller, or take other references out`;
  return { reason: reasons.credentialsTooLarge, message };
}
