// The public keys of one issuer (RFC 7517), from a file or from where its API server publishes them. Where that is comes from the settings of the
// installation alone: nothing in a token, a resource or an answer leads here anywhere.

import { readFile } from "node:fs/promises";

import { importJWK, type JWK } from "jose";
import { Agent, request } from "undici";

import { GatheredBytes } from "../../domain/gathered-bytes.ts";
import { printable } from "../../domain/printable.ts";

export interface KeySetPlace {
  /** `https://…`, or a file. */
  readonly jwks: string;
  /** PEM of the authority of that URL, where Node does not know it. */
  readonly caFile?: string;
  /** Bearer token for that URL. */
  readonly tokenFile?: string;
}

export interface IssuerKey {
  readonly id: string;
  /** The one algorithm that this key verifies. */
  readonly algorithm: string;
  readonly key: Awaited<ReturnType<typeof importJWK>>;
}

/** Why a key set could not be read. */
export class KeySetError extends Error {
  /** The issuer did not answer, or not as it should: another time it may. */
  readonly temporary: boolean;

  constructor(message: string, { temporary, cause }: { readonly temporary: boolean; readonly cause?: unknown }) {
    super(message, { cause });
    this.name = "KeySetError";
    this.temporary = temporary;
  }
}

const maxBytes = 1024 * 1024;
const answersWithin = 5_000;

/** What API servers sign with, and no secret keys: whoever can verify with one of those can sign. */
const algorithms: Readonly<Record<string, string>> = { RSA: "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

/** Keys that are of no use here are left out. Rejects with KeySetError. */
export async function readKeySet(place: KeySetPlace): Promise<readonly IssuerKey[]> {
  const { jwks } = place;
  const text = jwks.startsWith("https://") ? await fetchText(place) : await readText(jwks, "keys");
  const temporary = jwks.startsWith("https://");
  const keys = keysIn(text);
  if (keys === undefined) throw new KeySetError(`${jwks} holds no set of keys (JSON with a list "keys")`, { temporary });
  const read = await Promise.all(keys.map(readKey));
  return read.filter((key) => key !== undefined);
}

function keysIn(text: string): readonly JWK[] | undefined {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    return Array.isArray(keys) ? keys.filter((key): key is JWK => typeof key === "object" && key !== null) : undefined;
  } catch {
    return undefined;
  }
}

async function readKey({ kty, crv, kid, use, alg, n, e, x, y }: JWK): Promise<IssuerKey | undefined> {
  const algorithm = algorithms[(kty === "EC" ? crv : kty) ?? ""];
  if (algorithm === undefined || typeof kid !== "string" || kid === "") return undefined;
  if ((use ?? "sig") !== "sig" || (alg ?? algorithm) !== algorithm) return undefined;
  try {
    // The public members alone: a file that holds private keys by mistake is no reason to have them in memory.
    const key = await importJWK((kty === "RSA" ? { kty, n, e } : { kty, crv, x, y }) as JWK, algorithm);
    return { id: kid, algorithm, key };
  } catch {
    return undefined;
  }
}

async function readText(file: string, what: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new KeySetError(`${file} with ${what} cannot be read (${cause.code ?? cause.message})`, { temporary: false, cause });
  });
}

/** Redirects are not followed. Files are read each time, because they are replaced while the process runs. */
async function fetchText({ jwks, caFile, tokenFile }: KeySetPlace): Promise<string> {
  const ca = caFile === undefined ? undefined : await readText(caFile, "the authority of the issuer's keys");
  const token = tokenFile === undefined ? undefined : await readText(tokenFile, "the token for the issuer's keys");
  const agent = new Agent({ connect: ca === undefined ? {} : { ca } });
  try {
    const { statusCode, body } = await request(jwks, {
      dispatcher: agent,
      signal: AbortSignal.timeout(answersWithin),
      headers: {
        accept: "application/jwk-set+json, application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token.trim()}` }),
      },
    });
    if (statusCode !== 200) throw new Error(`it answered ${statusCode}`);
    const gathered = new GatheredBytes(maxBytes);
    for await (const chunk of body) if (!gathered.add(chunk as Uint8Array)) throw new Error(`it answered more than ${maxBytes} bytes`);
    return new TextDecoder().decode(gathered.bytes());
  } catch (cause) {
    const why = printable((cause as Error).message, 300);
    throw new KeySetError(`no keys from ${jwks}: ${why}`, { temporary: true, cause });
  } finally {
    await agent.destroy();
  }
}
