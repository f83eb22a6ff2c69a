// The published configuration as the services see it: what Git says, in memory, replaced as a whole at each publish.

import type { AccessPolicySpec, RetentionPolicySpec, TagPolicySpec, UpstreamSpec } from "../../../api/kinds.ts";
import type { ResourceKey } from "../../../domain/resource.ts";

export interface Published<Spec> extends ResourceKey {
  readonly generation: number;
  /** Commit that last changed its file. */
  readonly revision: string;
  readonly suspend: boolean;
  readonly spec: Spec;
}

export interface Configuration {
  /** Null: nothing was ever published. */
  readonly revision: string | null;
  readonly upstreams: readonly Published<UpstreamSpec>[];
  readonly tagPolicies: readonly Published<TagPolicySpec>[];
  readonly retentionPolicies: readonly Published<RetentionPolicySpec>[];
  readonly accessPolicies: readonly Published<AccessPolicySpec>[];
  /** An AccessPolicy is published or once was: deleting the last one reopens nothing. */
  readonly everHadAccessPolicy: boolean;
  /** The Upstream that serves under this first path segment. */
  upstreamByPrefix(prefix: string): Published<UpstreamSpec> | undefined;
  /** The Upstream that answers `?ns=<host>`; aliases of Docker Hub count as docker.io. */
  upstreamByHost(host: string): Published<UpstreamSpec> | undefined;
}

export interface ConfigurationSource {
  current(): Configuration;
  /** Called after each publish. Returns the function that ends the subscription. */
  onChange(listener: () => void): () => void;
}
