// The effective specs of the four kinds: defaults filled in, `suspend` aside, because it is never recorded and travels beside the spec.
// The types under them are generated from crds/ (scripts/generate-types.mjs); here they get names that people use, and become readonly.

import type { AccessPolicySpec as GeneratedAccessPolicySpec } from "./generated/accesspolicies.ts";
import type { RetentionPolicySpec as GeneratedRetentionPolicySpec } from "./generated/retentionpolicies.ts";
import type { TagPolicySpec as GeneratedTagPolicySpec } from "./generated/tagpolicies.ts";
import type { UpstreamSpec as GeneratedUpstreamSpec } from "./generated/upstreams.ts";

type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

export type UpstreamSpec = Immutable<Omit<GeneratedUpstreamSpec, "suspend">>;

export type TagPolicySpec = Immutable<Omit<GeneratedTagPolicySpec, "suspend">>;
export type PolicyImage = TagPolicySpec["images"][number];
export type SourceTag = TagPolicySpec["sourceTags"][number];
export type EvidenceSource = TagPolicySpec["evidence"][number];
export type EvidenceType = EvidenceSource["type"];
export type VersionFilter = NonNullable<TagPolicySpec["versions"]>;

export type RetentionPolicySpec = Immutable<Omit<GeneratedRetentionPolicySpec, "suspend">>;

export interface Claim {
  readonly name: string;
  readonly value: string;
}

/** One of `spec.subjects`. CEL rules of the CRD guarantee what the union says. */
export type Subject =
  | { readonly kind: "Anonymous" }
  | { readonly kind: "User"; readonly name: string }
  | { readonly kind: "ServiceAccount"; readonly issuer?: string; readonly namespace: string; readonly name: string }
  | { readonly kind: "OIDC"; readonly issuer: string; readonly claims: readonly Claim[] }
  | { readonly kind: "Group"; readonly issuer: string; readonly name: string };

export type AccessPolicySpec = Immutable<Omit<GeneratedAccessPolicySpec, "suspend" | "subjects">> & {
  readonly subjects: readonly Subject[];
};

/** Kind → its effective spec. */
export interface Specs {
  readonly Upstream: UpstreamSpec;
  readonly TagPolicy: TagPolicySpec;
  readonly RetentionPolicy: RetentionPolicySpec;
  readonly AccessPolicy: AccessPolicySpec;
}
