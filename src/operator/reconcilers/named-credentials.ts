// How far Secrets and ConfigMaps that a resource only names have come: whether they are there, can be used, and are with the processes of the registry.

import { ownerOf, type MountedOwner } from "../../domain/mounted-secrets.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { SecretData } from "../../domain/secrets.ts";
import type { ReportContext } from "./reconciler.ts";
import type { Finding, Placed } from "./skeleton.ts";

export interface NamedCredentials {
  readonly owner: MountedOwner;
  /** The field that names it: `spec.auth.secretRef.name`. */
  readonly path: string;
  readonly missing: Finding;
  readonly problemOf: (data: SecretData) => Finding | undefined;
}

export interface Lack {
  readonly finding: Finding & Placed;
  /** The resource goes on meanwhile, with what it was before. */
  readonly serves: boolean;
  /** Stays the same as long as the same is in the way of the same Secret or ConfigMap, whatever is said of it. */
  readonly what: string;
}

/** Of all that `key` names; one that keeps it from its work before one that does not. Undefined too where Secrets are somebody else's to look at. */
export function lackAmong(key: ResourceKey, named: readonly NamedCredentials[], context: ReportContext): Lack | undefined {
  if (context.secrets === undefined) return undefined;
  const found = named.flatMap((one) => lackOfOne(key, one, context) ?? []);
  return found.find(({ serves }) => !serves) ?? found[0];
}

/** Every process says that it has all of it as it is now. */
export function isDelivered(named: readonly NamedCredentials[], { delivery }: ReportContext): boolean {
  return named.every(({ owner }) => delivery?.stateOf(owner).state === "delivered");
}

function lackOfOne(
  key: ResourceKey,
  { owner, path, missing, problemOf }: NamedCredentials,
  { secrets, delivery, wasReady }: ReportContext,
): Lack | undefined {
  const of = (kind: string, { reason, message }: Finding, serves = false): Lack => ({
    finding: { reason, path, message },
    serves,
    what: `${kind} ${ownerOf(owner)}`,
  });
  const { kind, namespace, name } = owner;
  const data = kind === "Secret" ? secrets?.secret(namespace, name) : secrets?.configMap(namespace, name);
  const delivered = delivery?.stateOf(owner);
  // What a process before this one knew, it said in the status.
  const away = (state: Finding & { readonly served: boolean | undefined }) => of("away", state, state.served ?? wasReady(key));
  if (data === undefined) return delivered?.state === "unread" ? away(delivered) : of("missing", missing);
  const problem = problemOf(data);
  if (problem !== undefined) return of("wrong", problem);
  if (delivered?.state === "refused") return of("refused", delivered);
  return delivered?.state === "onItsWay" ? away(delivered) : undefined;
}
