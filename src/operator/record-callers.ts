// Who may have the record: whom the registry takes for an administrator, asked with the caller's own token. The operator keeps no list, no keys, and
// no answer: a token that ends, or an administrator who is none any more, counts for nothing from the next request on.

import { ControlClient } from "../client/control-client.ts";
import { ClientError } from "../client/errors.ts";

export type Admission =
  | { readonly state: "administrator" }
  /** Nobody that the registry knows, in its words. */
  | { readonly state: "unknown"; readonly message: string }
  | { readonly state: "refused"; readonly message: string }
  /** The registry does not say. */
  | { readonly state: "unavailable"; readonly message: string };

export type Admit = (authorization: string | undefined) => Promise<Admission>;

/** Of the registry whose control API is there. */
export function administratorsOf({ url, caFile }: { readonly url: string; readonly caFile?: string | undefined }): Admit {
  return async (authorization) => {
    const token = tokenOf(authorization);
    if (token === undefined) return { state: "unknown", message: "The record is for administrators: show a token of one." };
    const control = new ControlClient({ url, caFile, token });
    try {
      // Any route that is for administrators alone; this one only looks.
      await control.gc();
      return { state: "administrator" };
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      const { code, message } = error;
      if (code === "Unauthorized") return { state: "unknown", message };
      if (code === "Refused") return { state: "refused", message };
      return { state: "unavailable", message };
    } finally {
      await control.close();
    }
  };
}

/** Longer ones are nobody's; bytes. */
const longest = 16 * 1024;

/** Of `Bearer`, or the password of `Basic`, which is what git sends of a credential; the name beside it says nothing. */
function tokenOf(authorization: string | undefined): string | undefined {
  const [, scheme = "", value = ""] = /^(bearer|basic) +(\S+)$/i.exec(authorization ?? "") ?? [];
  const token = scheme.toLowerCase() === "basic" ? passwordOf(value) : value;
  // What a token is made of (RFC 6750, section 2.1): anything else would end the header that it is sent in.
  return /^[-\w.~+/]+=*$/.test(token) && token.length <= longest ? token : undefined;
}

function passwordOf(encoded: string): string {
  const text = Buffer.from(encoded, "base64").toString("utf8");
  return text.slice(text.indexOf(":") + 1);
}
