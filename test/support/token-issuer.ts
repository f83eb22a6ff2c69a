// A cluster as far as its ServiceAccount tokens go: real keys, and tokens with the claims that a kube-apiserver writes.

import { randomBytes } from "node:crypto";

import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK } from "jose";

export const audience = "registry.example.com";
/** What every test cluster calls itself, as most real ones do. */
export const clusterIssuer = "https://kubernetes.default.svc.cluster.local";

export interface TokenParts {
  readonly namespace: string;
  readonly name: string;
  readonly pod?: string;
  readonly audience?: string | string[];
  readonly issuer?: string;
  /** Seconds from now. */
  readonly issued?: number;
  readonly expires?: number;
  readonly notBefore?: number;
  /** Of the protected header, over what is right. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Over what is right; undefined takes a claim away. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Signs instead of the cluster's own. */
  readonly key?: Uint8Array;
}

export interface TokenIssuer {
  readonly keyId: string;
  readonly publicKey: JWK;
  /** SubjectPublicKeyInfo, PEM. */
  readonly publicPem: string;
  /** What its API server publishes at /openid/v1/jwks. */
  readonly jwks: string;
  token(parts: TokenParts): Promise<string>;
  /** Signed as RS256, whatever the header says. */
  raw(header: object, claims: object): Promise<string>;
}

export async function createTokenIssuer({ algorithm = "RS256", keyId = randomBytes(16).toString("base64url") } = {}): Promise<TokenIssuer> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm);
  const jwk: JWK = { ...(await exportJWK(publicKey)), kid: keyId, alg: algorithm, use: "sig" };
  return {
    keyId,
    publicKey: jwk,
    publicPem: await exportSPKI(publicKey),
    jwks: JSON.stringify({ keys: [jwk] }),
    token: (parts) =>
      new SignJWT(claimsOf(parts)).setProtectedHeader({ alg: algorithm, kid: keyId, ...parts.header }).sign(parts.key ?? privateKey),
    raw: async (header, claims) => {
      const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
      const signature = await crypto.subtle.sign("RSASSA-PKCS1-v1_5", privateKey, Buffer.from(text));
      return `${text}.${Buffer.from(signature).toString("base64url")}`;
    },
  };
}

export function claimsOf(parts: TokenParts): Record<string, unknown> {
  const { namespace, name, pod, issued = 0, expires = 600, notBefore = issued } = parts;
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    aud: [parts.audience ?? audience].flat(),
    exp: now + expires,
    iat: now + issued,
    iss: parts.issuer ?? clusterIssuer,
    jti: randomBytes(16).toString("hex"),
    "kubernetes.io": {
      namespace,
      serviceaccount: { name, uid: "1cba92bb-7fc3-4d14-94ef-b8f3e8c3a4c6" },
      ...(pod === undefined ? {} : { pod: { name: pod, uid: "5e0bd49b-f040-43b0-99b7-22765a53f7f3" } }),
    },
    nbf: now + notBefore,
    sub: `system:serviceaccount:${namespace}:${name}`,
    ...parts.claims,
  };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}
