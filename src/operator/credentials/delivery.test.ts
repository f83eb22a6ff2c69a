// What is said of a Secret that cannot be read. How Secrets come to the processes: test/kubernetes/credentials.test.ts.

import { pino } from "pino";
import { expect, test } from "vitest";

import type { Kind } from "../../domain/resource.ts";
import { emptyView } from "../../record/record-view.ts";
import { validateResource } from "../../validation/validate-resource.ts";
import type { Files, SecretContent } from "./credentials-bundle.ts";
import { Delivery } from "./delivery.ts";
import { knownUsers } from "./known-users.ts";
import { accessPolicyReconciler } from "../reconcilers/access-policy.ts";
import type { ReportContext } from "../reconcilers/reconciler.ts";
import { tagPolicyReconciler } from "../reconcilers/tag-policy.ts";
import { upstreamReconciler } from "../reconcilers/upstream.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const names = ["pull", "keys", "users"];
const wanted = names.map((name) => ({ kind: "Secret" as const, namespace: "a", name, uses: () => true }));
const brought: Files = new Map([
  ["a_pull_password", bytes("p")],
  ["a_keys_cosign.pub", bytes("k")],
  ["a_users_htpasswd", bytes("u")],
]);

function specOf<S>(kind: Kind, spec: object): S {
  const judged = validateResource({ kind, namespace: "a", name: "one", spec });
  if (judged.problems !== undefined) throw new Error(JSON.stringify(judged.problems));
  return judged.spec as S;
}

/** What the three kinds say that name Secrets: the reason for which each is not ready, and that of CredentialsLoaded. */
async function said(state: SecretContent["state"], before: Files | undefined, wasReady = false) {
  const content: SecretContent = state === "there" ? { state, data: new Map() } : { state };
  const delivery = new Delivery({
    store: { name: "a/all", read: async () => before, write: async (files) => files },
    source: { contentOf: () => content, onChange: () => () => undefined, look: () => undefined },
    users: [],
    precedence: { administrators: "a", tenants: [] },
    record: async () => ({ pods: [] }),
    logger: pino({ level: "silent" }),
  });
  await delivery.start();
  delivery.want(wanted, { keepOthers: false });
  const secrets = { secret: () => undefined, configMap: () => undefined, onChange: () => () => undefined };
  const users = knownUsers(secrets, { namespace: "a", name: "users" }, delivery);
  const context: ReportContext = {
    view: emptyView,
    upstreams: new Map(),
    recordedGeneration: () => 1,
    secrets,
    delivery,
    users,
    issuers: undefined,
    administrators: "a",
    wasReady: () => wasReady,
    awaitsProbe: () => false,
    runsOf: () => undefined,
  };
  const key = { namespace: "a", name: "one" };
  const images = [{ repository: "a/b" }];
  const reports = [
    upstreamReconciler.report(
      { kind: "Upstream", ...key },
      specOf("Upstream", { url: "https://example.org", prefix: "x", auth: { secretRef: { name: "pull" } } }),
      context,
    ),
    tagPolicyReconciler.report(
      { kind: "TagPolicy", ...key },
      specOf("TagPolicy", {
        upstreamRef: { name: "x" },
        images,
        schedule: "0 3 1 1 *",
        verify: { keys: [{ secretRef: { name: "keys" } }] },
      }),
      context,
    ),
    accessPolicyReconciler.report(
      { kind: "AccessPolicy", ...key },
      specOf("AccessPolicy", { subjects: [{ kind: "User", name: "ci" }], repositories: { include: ["**"] }, actions: ["pull"] }),
      context,
    ),
  ];
  await delivery.stop();
  return reports.map(({ notReady, conditions }) => [notReady?.reason, conditions.find(({ type }) => type === "CredentialsLoaded")?.reason]);
}

test("a Secret that could not be read is not called missing, and whoever has what it was before stays ready", async () => {
  expect(await said("gone", brought)).toEqual([
    ["SecretNotFound", "SecretNotFound"],
    ["SecretNotFound", "SecretNotFound"],
    ["SecretNotFound", "SecretNotFound"],
  ]);
  expect(await said("unknown", undefined)).toEqual([
    ["NotDelivered", "NotDelivered"],
    ["NotDelivered", "NotDelivered"],
    ["NotDelivered", "NotDelivered"],
  ]);
  expect(await said("unknown", brought)).toEqual([
    [undefined, "NotDelivered"],
    [undefined, "NotDelivered"],
    // Whether the users whom it names are among those of before nobody knows.
    ["NotDelivered", "NotDelivered"],
  ]);
  expect((await said("unknown", brought, true)).at(-1)).toEqual([undefined, "NotDelivered"]);
});
