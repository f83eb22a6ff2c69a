// A TagPolicy as a run may use it: the policy as published, its Upstream, what its images are called here, the keys that it names.

import type { Run } from "../../../api/control/runs.ts";
import type { TagPolicySpec, UpstreamSpec } from "../../../api/kinds.ts";
import { digestOf } from "../../../domain/digest.ts";
import type { SecretSource } from "../../../domain/secrets.ts";
import { maxTrustedRootBytes, trustedRootKey } from "../../../domain/trusted-root.ts";
import { canonicalHost, findByRepository } from "../../../domain/upstream-names.ts";
import type { Configuration, Published } from "../configuration/configuration.ts";
import { ServiceError } from "../errors.ts";

export interface PolicyScope {
  readonly policy: Published<TagPolicySpec>;
  readonly upstream: Published<UpstreamSpec>;
}

export const keyOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string => `${namespace}/${name}`;

/** `key`: namespace/name. ServiceError NOT_FOUND, or CONFLICT when its Upstream is not published. */
export function policyScope(configuration: Configuration, key: string): PolicyScope {
  const policy = configuration.tagPolicies.find((candidate) => keyOf(candidate) === key);
  if (policy === undefined) throw notPublished("TagPolicy", key);
  const upstream = upstreamOf(configuration, policy);
  if (upstream === undefined) {
    throw new ServiceError(
      "CONFLICT",
      `TagPolicy ${key} names the Upstream ${policy.namespace}/${policy.spec.upstreamRef.name}, which is not published.`,
    );
  }
  return { policy, upstream };
}

/** There may be such a resource that is not served: its conditions say why. `key`: namespace/name. */
export function notPublished(kind: "TagPolicy" | "RetentionPolicy", key: string): ServiceError {
  const look = `npx wharfinger get ${kind.toLowerCase()} ${key}`;
  return new ServiceError(
    "NOT_FOUND",
    `No ${kind} ${key} is published. If there is such a resource, \`${look}\` says why it is not served.`,
  );
}

function upstreamOf(configuration: Configuration, { namespace, spec }: Published<TagPolicySpec>): Published<UpstreamSpec> | undefined {
  return configuration.upstreams.find((candidate) => candidate.namespace === namespace && candidate.name === spec.upstreamRef.name);
}

export interface ImageNames {
  /** With its prefix, as this registry serves it. */
  readonly name: string;
  /** Host and repository, as upstream writes it: cgr.dev/chainguard/nginx. */
  readonly image: string;
}

/** `repository` as the policy writes it. ServiceError DENIED when it is no image of the policy, or one that the Upstream does not serve. */
export function imageOfPolicy({ policy, upstream }: PolicyScope, repository: string): ImageNames {
  if (!policy.spec.images.some((image) => image.repository === repository)) {
    throw new ServiceError("DENIED", `${repository} is no image of TagPolicy ${keyOf(policy)}.`);
  }
  const found = findByRepository(upstream.spec, repository);
  if (found === undefined) throw new ServiceError("DENIED", `Upstream ${keyOf(upstream)} does not serve ${repository}.`);
  return { name: found.name, image: `${canonicalHost(new URL(upstream.spec.url).host)}/${found.repository}` };
}

/** Policies that list the repository `name` (with its prefix), as they stand in the configuration: the one recorded first comes first. */
export function policiesOf(configuration: Configuration, name: string): Published<TagPolicySpec>[] {
  return configuration.tagPolicies.filter((policy) => {
    const upstream = upstreamOf(configuration, policy);
    return (
      upstream !== undefined && policy.spec.images.some(({ repository }) => findByRepository(upstream.spec, repository)?.name === name)
    );
  });
}

const maxKeys = 100;
const maxKeyBytes = 16 * 1024;

/** Every `*.pub` of the Secrets that the policy names, unread: the job judges them. A Secret that is missing gives none. */
export function keysOf({ policy }: PolicyScope, secrets: SecretSource): NonNullable<Run["keys"]> {
  return (policy.spec.verify.keys ?? [])
    .flatMap(({ secretRef }) => {
      const data = secrets.secret(policy.namespace, secretRef.name) ?? new Map<string, Uint8Array>();
      return [...data]
        .filter(([key, value]) => key.endsWith(".pub") && value.length <= maxKeyBytes)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => ({ name: `${secretRef.name}/${key}`, pem: new TextDecoder().decode(value) }));
    })
    .slice(0, maxKeys);
}

/** The trusted root that the policy names, unread. Undefined: it names none; empty: it names one that is not there, and the built-in one must not stand in for it. */
export function trustedRootOf({ policy }: PolicyScope, secrets: SecretSource): string | undefined {
  const { trustedRoot } = policy.spec.verify;
  if (trustedRoot === undefined) return undefined;
  const bytes = secrets.configMap(policy.namespace, trustedRoot.configMapRef.name)?.get(trustedRootKey);
  return bytes === undefined || bytes.byteLength > maxTrustedRootBytes ? "" : new TextDecoder().decode(bytes);
}

/** What a run judges evidence with. */
export function anchorsOf(
  scope: PolicyScope,
  secrets: SecretSource,
): { readonly keys: NonNullable<Run["keys"]>; readonly trustedRoot?: string; readonly anchors: string } {
  const keys = keysOf(scope, secrets);
  const trustedRoot = trustedRootOf(scope, secrets);
  const anchors = digestOf(JSON.stringify([keys, trustedRoot ?? null]));
  return { keys, ...(trustedRoot === undefined ? {} : { trustedRoot }), anchors };
}
