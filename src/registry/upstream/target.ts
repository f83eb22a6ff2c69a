// What the way out needs to know about one Upstream; made from its spec and its Secrets by services/upstream-target.ts.

import type { Login } from "../../domain/registry-login.ts";
import type { Hidden } from "./hidden.ts";

export type Credentials =
  | { readonly state: "anonymous" }
  | { readonly state: "loaded"; readonly login: Hidden<Login> }
  /** A Secret is named but cannot be used: nothing is asked, since an anonymous answer would be another one. */
  | { readonly state: "invalid"; readonly message: string }
  | { readonly state: "notImplemented"; readonly message: string };

/** What messages tell somebody to set. */
export interface SettingNames {
  readonly credentials: string;
  readonly insecure: string;
  readonly allowedHosts: string;
  /** What lets a redirect lead to a private address. */
  readonly privateHosts: string;
}

const resourceFields: SettingNames = {
  credentials: "spec.auth.secretRef",
  insecure: "spec.insecure",
  allowedHosts: "spec.allowedHosts",
  privateHosts: "the setting egress.allowedCIDRs",
};

export const settingNames = (target: UpstreamTarget): SettingNames => target.settings ?? resourceFields;

export interface UpstreamTarget {
  /** `namespace/name` of the resource: how messages name it. */
  readonly key: string;
  /** Scheme, host and port; aliases of Docker Hub are already resolved. */
  readonly url: URL;
  readonly insecure: boolean;
  readonly allowedHosts: readonly string[];
  readonly credentials: Credentials;
  readonly tls: { readonly authority?: string; readonly certificate?: string; readonly key?: Hidden<string> };
  /** Milliseconds. `whole`: for the body of an answer that is read whole, a minute by default. */
  readonly timeouts: { readonly connect: number; readonly firstByte: number; readonly idle: number; readonly whole?: number };
  /** The fields of an Upstream unless something else describes the target. */
  readonly settings?: SettingNames;
  readonly rateLimit: { readonly reservePercent: number; readonly requestsPerSecond?: number };
}
