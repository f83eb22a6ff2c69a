// A Secret with public keys (`spec.verify.keys[].secretRef` of a TagPolicy): each of its keys that ends in `.pub` is one in PEM.

import { readPublicKey } from "./public-key.ts";
import { namesOfKeys } from "./registry-login.ts";
import type { SecretData } from "./secrets.ts";

/**
 * `problem`: why nothing can be verified by it, as the end of a sentence; the caller names the Secret. `leftOut`: what is wrong with keys that a run
 * leaves out, because others can be used. Nothing of the content is ever said.
 */
export function judgePublicKeys(data: SecretData): { readonly problem: string } | { readonly leftOut: readonly string[] } {
  const files = [...data].filter(([file]) => file.endsWith(".pub"));
  if (files.length === 0) {
    return {
      problem: `has no key that ends in .pub (${namesOfKeys(data)}): put the publisher's public key there, for example as cosign.pub`,
    };
  }
  const leftOut = files.flatMap(([file, bytes]) => {
    const read = readPublicKey(file, new TextDecoder().decode(bytes));
    return "problem" in read ? [read.problem] : [];
  });
  return leftOut.length === files.length ? { problem: `has no public key that can be used: ${leftOut.join("; ")}` } : { leftOut };
}
