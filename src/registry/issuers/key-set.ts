// The public keys of one issuer (RFC 7517), from a file or from where it publishes them. Where that is comes from the settings of the installation
// alone, and an OpenID provider says it of its own host: nothing in a token or a resource leads here anywhere.

import { readFile } from "node:fs/promises";

import { importJWK, type JWK } from "jose";
import { Agent, request, type Dispatcher } from "undici";

import { GatheredBytes } from "../../domain/gathered-bytes.ts";
import { printable } from "../../domain/printable.ts";

export interface KeySetPlace {
  /** What its tokens call it (`iss`). */
  readonly issuer: string;
  /** `https://…`, or a file; undefined: where it says itself (OpenID Connect Discovery 1.0, section 4). */
  readonly jwks?: string;
  /** PEM of the authority of that URL, where Node does not know it. */
  readonly caFile?: string;
  /** Bearer token for that URL. */
  readonly tokenFile?: string;
  /** Connections to it, when not everywhere may be connected to. `authority`: PEM. */
  readonly agent?: (url: URL, authority: string | undefined) => Dispatcher;
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
/** Each is imported, again every few minutes. Who publishes more than a rotation needs makes work. */
const mostKeys = 100;
const answersWithin = 5_000;

/** What API servers sign with, and no secret keys: whoever can verify with one of those can sign. */
const algorithms: Readonly<Record<string, string>> = { RSA: "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

/** Keys that are of no use here are left out. Rejects with KeySetError. */
export async function readKeySet(place: KeySetPlace): Promise<readonly IssuerKey[]> {
  const jwks = place.jwks ?? (await discover(place));
  const temporary = jwks.startsWith("https://");
  const text = temporary ? await fetchText(jwks, place) : await readText(jwks, "keys");
  const keys = keysIn(text);
  if (keys === undefined) throw new KeySetError(`${jwks} holds no set of keys (JSON with a list "keys")`, { temporary });
  if (keys.length > mostKeys)
    throw new KeySetError(`${jwks} holds ${keys.length} keys: more than ${mostKeys} are not taken`, { temporary });
  const read = await Promise.all(keys.map(readKey));
  return read.filter((key) => key !== undefined);
}

/** Another host could be anybody's: what names it is an answer, not the settings. */
async function discover(place: KeySetPlace): Promise<string> {
  const { issuer } = place;
  const document = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const text = await fetchText(document, place);
  const wrong = (message: string) => new KeySetError(message, { temporary: true });
  const found = configurationIn(text);
  if (found?.issuer !== issuer) throw wrong(`${document} is not the configuration of ${issuer}, to the letter`);
  const keys = typeof found.jwks_uri === "string" ? URL.parse(found.jwks_uri) : null;
  const shown = printable(String(found.jwks_uri), 200);
  if (keys?.protocol !== "https:" || keys.username !== "" || keys.password !== "") {
    throw wrong(`${document} names no https URL of its keys (jwks_uri: ${shown})`);
  }
  if (keys.host !== new URL(issuer).host) {
    throw wrong(`${document} says that its keys are at ${shown}, which is another host: set jwks to that if it is right`);
  }
  return keys.href;
}

function configurationIn(text: string): { readonly issuer?: unknown; readonly jwks_uri?: unknown } | undefined {
  try {
    return (JSON.parse(text) as object | null) ?? undefined;
  } catch {
    return undefined;
  }
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

const anywhere = (_: URL, ca: string | undefined): Dispatcher => new Agent({ connect: ca === undefined ? {} : { ca } });

/** Redirects are not followed. Files are read each time, because they are replaced while the process runs. */
async function fetchText(url: string, { caFile, tokenFile, agent = anywhere }: KeySetPlace): Promise<string> {
  const ca = caFile === undefined ? undefined : await readText(caFile, "the authority of the issuer's keys");
  const token = tokenFile === undefined ? undefined : await readText(tokenFile, "the token for the issuer's keys");
  const dispatcher = agent(new URL(url), ca);
  try {
    const { statusCode, body } = await request(url, {
      dispatcher,
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
    throw new KeySetError(`no keys from ${url}: ${why}`, { temporary: true, cause });
  } finally {
    await dispatcher.destroy();
  }
}
