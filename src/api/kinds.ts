// Placeholder until generated; see crds/. Effective specs: fields with a default are always there.
export type UpstreamSpec = Record<string, never>;
export type TagPolicySpec = Record<string, never>;
export type RetentionPolicySpec = Record<string, never>;
export type AccessPolicySpec = Record<string, never>;
