// The trusted root that certificates, logs and timestamps are judged by: the policy's own, or the public-good one that is built in.

import { readFileSync } from "node:fs";

import { TrustedRoot } from "@sigstore/protobuf-specs";
import { toTrustMaterial, type TrustMaterial } from "@sigstore/verify";

import { digestOf, type Digest } from "../../domain/digest.ts";
import { readTrustedRoot } from "../../domain/trusted-root.ts";
import { AttestationError } from "./failure.ts";

export interface TrustAnchors {
  readonly material: TrustMaterial;
  /** Digest of the root as it was given: roots carry no version of their own. */
  readonly version: Digest;
}

/** `text`: the policy's trusted_root.json; absent: the built-in root. AttestationError TrustedRootInvalid, TrustedRootExpired. */
export function readTrustAnchors(text: string | undefined, now: Date): TrustAnchors {
  const [root, name, todo] =
    text === undefined
      ? [builtInRoot(), "the trusted root that is built in", "name a current one in spec.verify.trustedRoot, or update Wharfinger"]
      : [text, "the trusted root of spec.verify.trustedRoot", "put a current trusted_root.json there"];
  const read = readTrustedRoot(root);
  if ("problem" in read) throw new AttestationError("TrustedRootInvalid", `${name} ${read.problem}: ${todo}`);
  if (read.usableUntil <= now.getTime()) {
    const ended = new Date(read.usableUntil).toISOString();
    throw new AttestationError("TrustedRootExpired", `every ${read.ends} in ${name} ended by ${ended}: ${todo}`);
  }
  try {
    return { material: toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(root))), version: digestOf(root) };
  } catch (error) {
    throw new AttestationError("TrustedRootInvalid", `${name} cannot be used (${(error as Error).message.slice(0, 200)}): ${todo}`);
  }
}

/** Sigstore's public-good instance, as scripts/generate-trusted-root.mjs took it from @sigstore/tuf. */
function builtInRoot(): string {
  return readFileSync(new URL("public-good.trusted-root.json", import.meta.url), "utf8");
}
