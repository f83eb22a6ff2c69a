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
import type { Reconciler, ReportContext } from "./reconciler.ts";
import type { Finding, Placed } from "./skeleton.ts";

export const upstreamReconciler: Reconciler<"Upstream"> = {
  kind: "Upstream",
  report(key, spec, context) {
    const seen = context.upstreams?.get(`${key.namespace}/${key.name}`);
    const named = secretsOf(spec);
    const obstacle = named.map((secret) => obstacleOf(key, secret, context)).find((found) => found !== undefined);
    const conditions = [
      ...(seen === undefined ? [] : conditionsOf(seen)),
      ...(named.length === 0 ? [] : credentialsLoaded(key, named, { seen, obstacle, context })),
    ];
    return { ...(obstacle?.serves === false ? { notReady: obstacle.finding } : {}), conditions, details: {} };
  },
};

interface NamedSecret {
  readonly path: string;
  readonly name: string;
  /** What is wrong with it. `name`: with its namespace. */
  readonly problemOf: (data: SecretData, name: string) => string | undefined;
}

function secretsOf({ url, auth, certSecretRef }: UpstreamSpec): readonly NamedSecret[] {
  const problemIn = (read: object) => ("problem" in read ? String(read.problem) : undefined);
  return [
    ...(auth.secretRef === undefined
      ? []
      : [
          {
            path: "spec.auth.secretRef.name",
            name: auth.secretRef.name,
            problemOf: (data: SecretData, name: string) => problemIn(readLogin(data, name, targetUrl(url))),
          },
        ]),
    ...(certSecretRef === undefined
      ? []
      : [
          {
            path: "spec.certSecretRef.name",
            name: certSecretRef.name,
            problemOf: (data: SecretData, name: string) => problemIn(tlsOf(data, name)),
          },
        ]),
  ];
}

/** Every round asks, and certificates take a moment to read. */
const readTls = new WeakMap<SecretData, ReturnType<typeof readTlsSecret>>();

function tlsOf(data: SecretData, name: string): ReturnType<typeof readTlsSecret> {
  const read = readTls.get(data) ?? readTlsSecret(data, name);
  readTls.set(data, read);
  return read;
}

interface Obstacle {
  readonly finding: Finding & Placed;
  /** The Upstream goes on meanwhile, with what its Secret was before. */
  readonly serves: boolean;
}

function obstacleOf(
  { namespace }: ResourceKey,
  { path, name, problemOf }: NamedSecret,
  { secrets, delivery }: ReportContext,
): Obstacle | undefined {
  if (secrets === undefined) return undefined;
  const stopped = (reason: string, message: string): Obstacle => ({ finding: { reason, path, message }, serves: false });
  const data = secrets.secret(namespace, name);
  const delivered = delivery?.stateOf({ kind: "Secret", namespace, name });
  if (data === undefined) {
    if (delivered?.state === "unread") {
      const { reason, message, served } = delivered;
      return { finding: { reason, path, message }, serves: served };
    }
    return stopped(reasons.secretNotFound, `there is no Secret ${namespace}/${name}: create it, or take the reference out`);
  }
  const problem = problemOf(data, `${namespace}/${name}`);
  if (problem !== undefined) return stopped(reasons.secretInvalid, problem);
  if (delivered?.state === "refused") return stopped(delivered.reason, delivered.message);
  if (delivered?.state !== "onItsWay") return undefined;
  const { reason, message, served } = delivered;
  return { finding: { reason, path, message }, serves: served };
}

function conditionsOf({ reachable, reason: why, message, credentialsLoaded, rateLimit }: UpstreamView): ConditionDraft[] {
  const reason = { True: reasons.succeeded, False: why ?? reasons.unreachable, Unknown: reasons.notAsked }[reachable];
  // What it said to the last request is another thing each time, and that would be a write each time.
  const said = reachable === "True" && credentialsLoaded ? "upstream answers" : message;
  const conditions: ConditionDraft[] = [{ type: conditionTypes.reachable, status: reachable, reason, message: said }];
  if (rateLimit?.remaining === 0) {
    const { limit, resetsAt } = rateLimit;
    const until = resetsAt === undefined ? "" : ` until ${resetsAt}`;
    const used = `upstream answers no more requests${until} (its limit is ${limit}); what is cached is served`;
    conditions.push({ type: conditionTypes.rateLimited, status: "True", reason: "LimitReached", message: used });
  }
  return conditions;
}

function credentialsLoaded(
  { namespace }: ResourceKey,
  named: readonly NamedSecret[],
  { seen, obstacle, context: { delivery } }: { seen: UpstreamView | undefined; obstacle: Obstacle | undefined; context: ReportContext },
): (ConditionDraft & Placed)[] {
  const type = conditionTypes.credentialsLoaded;
  if (obstacle !== undefined) return [{ type, status: "False", ...obstacle.finding }];
  if (named.every(({ name }) => delivery?.stateOf({ kind: "Secret", namespace, name }).state === "delivered")) {
    return [{ type, status: "True", reason: reasons.succeeded, message: "every process of the registry has the Secret as it is now" }];
  }
  if (seen === undefined) return [];
  if (seen.credentialsLoaded) {
    return [{ type, status: "True", reason: reasons.succeeded, message: "the registry uses the Secret as it is now" }];
  }
  return [{ type, status: "False", reason: reasons.secretInvalid, message: `the registry cannot use the Secret: ${seen.message}` }];
}
