// A robot as it is made: its password, its key of the Secret of robots (./robots.ts reads it), and pull secrets for Pods.

import { createHash } from "node:crypto";

/** Of 32 random bytes: so much chance needs no slow hash. */
export function robotPassword(random: Uint8Array): string {
  return `wfr_${Buffer.from(random).toString("base64url")}`;
}

/** Value of its key. `expires`: undefined for never. */
export function robotEntry(password: string, expires: Date | undefined): string {
  const sha256 = createHash("sha256").update(password).digest("hex");
  return JSON.stringify({ sha256, ...(expires === undefined ? {} : { expires: expires.toISOString().replace(/\.\d+Z$/, "Z") }) });
}

export interface SecretObject {
  readonly apiVersion: "v1";
  readonly kind: "Secret";
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly type?: string;
  /** base64 */
  readonly data: Readonly<Record<string, string>>;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

export interface SecretPlace {
  readonly name: string;
  readonly namespace?: string;
}

/** The Secret of robots with this one alone: as server-side apply wants it, which leaves keys of others as they are. */
export function robotSecret(place: SecretPlace, robot: string, entry: string): SecretObject {
  return { apiVersion: "v1", kind: "Secret", metadata: { ...place }, data: { [robot]: base64(entry) } };
}

export const robotLabel = "wharfinger.dev/robot";

/** An image pull secret of Kubernetes. `host`: as image references have it. */
export function pullSecret(namespace: string, { robot, password, host }: { robot: string; password: string; host: string }): SecretObject {
  const auths = { [host]: { username: robot, password, auth: base64(`${robot}:${password}`) } };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `wharfinger-${robot}`, namespace, labels: { [robotLabel]: robot } },
    type: "kubernetes.io/dockerconfigjson",
    data: { ".dockerconfigjson": base64(JSON.stringify({ auths })) },
  };
}

/** Fields of one robot are a manager's of its own, so that applying one takes no other away. */
export function robotManager(robot: string): string {
  return `wharfinger-robot-${robot}`;
}
