// Upstream: recorded and published by the skeleton; here what its Secrets are good for, and what the registry says of it.

import { conditionTypes, reasons } from "../../api/conditions.ts";
import type { UpstreamView } from "../../api/control/contents.ts";
import type { UpstreamSpec } from "../../api/kinds.ts";
import { targetUrl } from "../../domain/registry-address.ts";
import { readLogin } from "../../domain/registry-login.ts";
import type { ResourceKey } from "../../domain/resource.ts";
import type { SecretData } from "../../domain/secrets.ts";
import { readTlsSecret } from "../../domain/tls-secret.ts";
import type { ConditionDraft } from "../status-store.ts";
import { isDelivered, lackAmong, type Lack, type NamedCredentials } from "./named-credentials.ts";
import type { Reconciler, ReportContext } from "./reconciler.ts";
import type { Placed } from "./skeleton.ts";

export const upstreamReconciler: Reconciler<"Upstream"> = {
  kind: "Upstream",
  report(key, spec, context) {
    const seen = context.upstreams?.get(`${key.namespace}/${key.name}`);
    // What is said of the generation before says nothing of the Secrets of this one.
    const isOld = seen !== undefined && seen.generation < (context.recordedGeneration(key) ?? 0);
    const heard = isOld ? undefined : seen;
    const named = secretsOf(key, spec);
    const lack = lackAmong(key, named, context) ?? unheard(key, named, { seen: heard, context });
    const conditions = [
      ...(seen === undefined ? [] : conditionsOf(seen)),
      ...(named.length === 0 ? [] : credentialsLoaded(named, { seen: heard, lack, context })),
    ];
    return { ...(lack?.serves === false ? { notReady: lack.finding } : {}), conditions, details: {} };
  },
};

/** Of the Upstream `key`. */
export function secretsOf({ namespace }: ResourceKey, { url, auth, certSecretRef }: UpstreamSpec): readonly NamedCredentials[] {
  const named = (
    field: string,
    reference: { readonly name: string } | undefined,
    read: (data: SecretData, name: string) => object,
  ): NamedCredentials[] => {
    if (reference === undefined) return [];
    const secret = `${namespace}/${reference.name}`;
    return [
      {
        owner: { kind: "Secret", namespace, name: reference.name },
        path: `spec.${field}.name`,
        missing: { reason: reasons.secretNotFound, message: `there is no Secret ${secret}: create it, or take the reference out` },
        problemOf: (data) => {
          const found = read(data, secret);
          return "problem" in found ? { reason: reasons.secretInvalid, message: String(found.problem) } : undefined;
        },
      },
    ];
  };
  return [
    ...named("auth.secretRef", auth.secretRef, (data, name) => readLogin(data, name, targetUrl(url))),
    ...named("certSecretRef", certSecretRef, tlsOf),
  ];
}

/** Every round asks, and certificates take a moment to read. */
const readTls = new WeakMap<SecretData, ReturnType<typeof readTlsSecret>>();

function tlsOf(data: SecretData, name: string): ReturnType<typeof readTlsSecret> {
  const read = readTls.get(data) ?? readTlsSecret(data, name);
  readTls.set(data, read);
  return read;
}

/** Where somebody else brings Secrets, the registry alone knows whether they are there: an Upstream is not ready before it has said so. */
function unheard(
  key: ResourceKey,
  named: readonly NamedCredentials[],
  { seen, context }: { readonly seen: UpstreamView | undefined; readonly context: ReportContext },
): Lack | undefined {
  const [first] = named;
  const { delivery, wasReady } = context;
  if (first === undefined || delivery === undefined || seen?.credentialsLoaded === true || isDelivered(named, context)) return undefined;
  const about = (reason: string, message: string) => ({ finding: { reason, path: first.path, message }, what: "unheard" });
  if (seen !== undefined) return { ...about(reasons.secretInvalid, `the registry cannot use the Secret: ${seen.message}`), serves: false };
  return { ...about(reasons.progressing, "the registry has not said yet whether it has the Secret"), serves: wasReady(key) };
}

function conditionsOf({ generation, reachable, reason: why, message, credentialsLoaded, rateLimit }: UpstreamView): ConditionDraft[] {
  const reason = { True: reasons.succeeded, False: why ?? reasons.unreachable, Unknown: reasons.notAsked }[reachable];
  // What it said to the last request is another thing each time, and that would be a write each time.
  const said = reachable === "True" && credentialsLoaded ? "upstream answers" : message;
  const observedGeneration = generation;
  const conditions: ConditionDraft[] = [{ type: conditionTypes.reachable, status: reachable, reason, message: said, observedGeneration }];
  if (rateLimit?.remaining === 0) {
    const { limit, resetsAt } = rateLimit;
    const until = resetsAt === undefined ? "" : ` until ${resetsAt}`;
    const used = `upstream answers no more requests${until} (its limit is ${limit}); what is cached is served`;
    conditions.push({ type: conditionTypes.rateLimited, status: "True", reason: "LimitReached", message: used, observedGeneration });
  }
  return conditions;
}

function credentialsLoaded(
  named: readonly NamedCredentials[],
  { seen, lack, context }: { seen: UpstreamView | undefined; lack: Lack | undefined; context: ReportContext },
): (ConditionDraft & Placed)[] {
  const type = conditionTypes.credentialsLoaded;
  if (lack !== undefined) return [{ type, status: "False", ...lack.finding }];
  if (isDelivered(named, context)) {
    return [{ type, status: "True", reason: reasons.succeeded, message: "every process of the registry has the Secret as it is now" }];
  }
  if (seen === undefined) return [];
  if (seen.credentialsLoaded) {
    return [{ type, status: "True", reason: reasons.succeeded, message: "the registry uses the Secret as it is now" }];
  }
  return [{ type, status: "False", reason: reasons.secretInvalid, message: `the registry cannot use the Secret: ${seen.message}` }];
}
