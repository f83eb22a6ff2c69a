// What is accepted, because it is part of the API, and not built yet. Such a resource is `Stalled: NotImplemented`, never silently ignored.
// Whoever builds one of these takes its line out.

import type { Specs, TagPolicySpec, UpstreamSpec } from "../api/kinds.ts";
import type { Kind } from "../domain/resource.ts";

export interface NotImplemented {
  readonly path: string;
  readonly message: string;
}

export interface Readiness {
  /** Not empty: the resource is Stalled. */
  readonly stalled: readonly NotImplemented[];
  /** Left out, the rest of the resource works. */
  readonly notes: readonly NotImplemented[];
}

const judges: { readonly [K in Kind]: (spec: Specs[K]) => Readiness } = {
  Upstream: judgeUpstream,
  TagPolicy: judgeTagPolicy,
  RetentionPolicy: () => ({ stalled: [], notes: [] }),
  AccessPolicy: () => ({ stalled: [], notes: [] }),
};

export function notImplemented<K extends Kind>(kind: K, spec: Specs[K]): Readiness {
  return judges[kind](spec);
}

function judgeUpstream(spec: UpstreamSpec): Readiness {
  const provider = spec.auth.provider;
  return {
    stalled:
      provider === "generic"
        ? []
        : [
            {
              path: "spec.auth.provider",
              message: `provider ${provider} is not built yet: use generic with a secretRef, or wait for a later release`,
            },
          ],
    notes: [],
  };
}

function judgeTagPolicy({ backfill }: TagPolicySpec): Readiness {
  return {
    stalled:
      backfill === undefined
        ? []
        : [{ path: "spec.backfill", message: "backfill is not built yet: remove it, or wait for a later release" }],
    notes: [],
  };
}
