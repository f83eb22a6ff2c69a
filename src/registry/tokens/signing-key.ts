// Keys for access tokens: Ed25519, or ECDSA on P-256 where somebody brings his own.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";

import { calculateJwkThumbprint, exportJWK } from "jose";

export interface SigningKey {
  /** RFC 7638: of the public part, so that equal keys have equal ids wherever they come from. */
  readonly id: string;
  /** The one algorithm that this key signs and verifies. */
  readonly algorithm: "EdDSA" | "ES256";
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Where keys come from. All answers but those about unknown ids are from memory. */
export interface SigningKeys {
  /** What is signed with now; undefined: there is none yet. */
  current(): SigningKey | undefined;
  known(id: string): SigningKey | undefined;
  /** Looks for one that another process may have made. */
  find(id: string): Promise<SigningKey | undefined>;
}

export async function makeKey(): Promise<SigningKey> {
  return keyFrom(generateKeyPairSync("ed25519").privateKey);
}

/** `text`: a JSON Web Key. */
export async function readJwk(text: string): Promise<SigningKey> {
  return keyFrom(createPrivateKey({ key: JSON.parse(text) as Record<string, string>, format: "jwk" }));
}

export function writeJwk({ privateKey }: SigningKey): string {
  return JSON.stringify(privateKey.export({ format: "jwk" }));
}

/** `pem`: PKCS #8 or SEC 1. Rejects with an Error that says what is wrong, and nothing of what it holds. */
export async function readPem(pem: string): Promise<SigningKey> {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Error("it is no private key in PEM without a passphrase; make one with openssl genpkey -algorithm ed25519");
  }
  return keyFrom(key);
}

async function keyFrom(privateKey: KeyObject): Promise<SigningKey> {
  const publicKey = createPublicKey(privateKey);
  const id = () => exportJWK(publicKey).then((jwk) => calculateJwkThumbprint(jwk));
  const { asymmetricKeyType, asymmetricKeyDetails } = privateKey;
  if (asymmetricKeyType === "ed25519") return { id: await id(), algorithm: "EdDSA", privateKey, publicKey };
  if (asymmetricKeyType === "ec" && asymmetricKeyDetails?.namedCurve === "prime256v1")
    return { id: await id(), algorithm: "ES256", privateKey, publicKey };
  throw new Error("it is neither an Ed25519 key nor one on the curve P-256; make one with openssl genpkey -algorithm ed25519");
}
