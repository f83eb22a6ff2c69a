// What goes into the one Secret that the registry's processes mount, and what does not fit (design: operator, "Upstream").

import { reasons } from "../../api/conditions.ts";
import { fileNameOf, longestFileName, ownerOf, parseFileName, type MountedOwner } from "../../domain/mounted-secrets.ts";
import type { SecretData } from "../../domain/secrets.ts";
import { giveRoom, mostBytes, type Demand, type Precedence, type Since } from "./bundle-room.ts";
import type { Finding } from "../reconcilers/skeleton.ts";
import type { WantedSecret } from "./secret-references.ts";

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

interface Part extends Demand, MountedOwner {
  readonly owner: string;
  readonly files: Files;
}

/** `before`: what the processes have. `keepOthers`: what nobody wants any more stays as well, as long as its Secret is there. */
export function bundleOf(
  wanted: readonly WantedSecret[],
  world: {
    readonly contentOf: (owner: MountedOwner) => SecretContent;
    readonly before: Files;
    readonly keepOthers: boolean;
    readonly precedence: Precedence;
  },
): Bundle {
  const before = byOwner(world.before);
  const left = new Map<string, Finding>();
  const parts: Part[] = [];
  const all = world.keepOthers ? [...wanted, ...asBefore(world.before)] : wanted;
  for (const [owner, uses] of Map.groupBy(all, ownerOf)) {
    const [{ kind, namespace, name } = { kind: "Secret" as const, namespace: "", name: "" }] = uses;
    const old = before.get(owner) ?? new Map<string, Uint8Array>();
    const content = world.contentOf({ kind, namespace, name });
    const files = content.state === "there" ? pick(content.data, uses) : content.state === "gone" ? new Map<string, Uint8Array>() : old;
    const refusal = refusalOf(`${kind} ${namespace}/${name}`, files);
    if (refusal !== undefined) left.set(owner, refusal);
    else if (files.size > 0)
      parts.push({ owner, kind, namespace, name, files, bytes: sizeOf(files), since: sinceOf(sizeOf(files), sizeOf(old)) });
  }
  const room = giveRoom(parts, world.precedence);
  for (const part of room.left) left.set(part.owner, noRoom(part, { ...world.precedence, sure: room.sure }));
  const files = room.fit.flatMap((part) => [...part.files]).sort(([a], [b]) => (a < b ? -1 : 1));
  return { files: new Map(files), left };
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
    return named === undefined ? [] : [{ ...named, uses: (key: string) => key === named.key }];
  });
}

function pick(data: SecretData, wanted: readonly WantedSecret[]): Files {
  return new Map(
    [...data].flatMap(([key, bytes]) => {
      const use = wanted.find(({ uses }) => uses(key));
      return use === undefined ? [] : [[fileNameOf({ kind: use.kind, namespace: use.namespace, name: use.name, key }), bytes] as const];
    }),
  );
}

/** A name counts twice: it stands in the data, and in the list of who owns what. */
function sizeOf(files: Files): number {
  return [...files].reduce((sum, [file, bytes]) => sum + 2 * file.length + bytes.byteLength, 0);
}

function sinceOf(now: number, before: number): Since {
  if (before === 0) return "new";
  return now <= before ? "before" : "grown";
}

function refusalOf(name: string, files: Files): Finding | undefined {
  for (const [file, { byteLength }] of files) {
    const key = parseFileName(file)?.key ?? "";
    if (file.length > longestFileName) {
      const message = `the names of ${name} and of its key ${key} are too long together (${file.length} characters, ${longestFileName} at most): give it a shorter one`;
      return { reason: reasons.secretInvalid, message };
    }
    // Of users there may be thousands, and their Secret is the administrators'.
    if (byteLength > mostOfKey && key !== "htpasswd") {
      const message = `${name} has ${byteLength} bytes in ${key}, ${mostOfKey} at most are taken: leave out what this registry does not need`;
      return { reason: reasons.credentialsTooLarge, message };
    }
  }
  return undefined;
}

function noRoom({ kind, namespace, name, bytes }: Part, { administrators, sure }: { administrators: string; sure: number }): Finding {
  const bound =
    namespace === administrators
      ? `all Secrets that resources name may have ${mostBytes} together, and those of this namespace that were there before it stay`
      : `namespace ${namespace} is sure of ${sure / 1024} KiB in all, beyond that those who come first have what is free of ${mostBytes / 1024} KiB`;
  const message = `there is no room for the ${bytes} bytes of ${kind} ${namespace}/${name}: ${bound}. Make it smaller, or take other references out`;
  return { reason: reasons.credentialsTooLarge, message };
}
