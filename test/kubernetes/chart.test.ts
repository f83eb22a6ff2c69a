// The chart as Helm installs it at a real API server: what it accepts, what the accounts may do and may not, what an upgrade, a rollback, a second release
// and an uninstallation leave. There is no node: Pods are not started here.

import { afterAll, beforeAll, expect, test } from "vitest";

import { everything, helmTemplate, production, profiles } from "../support/chart.ts";
import { install, rollBack, uninstall, type HelmRelease } from "../support/helm.ts";
import { createNamespace, startApiServer, type ApiServer } from "../support/kubernetes.ts";

/** Without what other projects define: cert-manager, the Gateway API, the Prometheus operator. */
const values = {
  ...everything,
  tls: production.tls,
  ingress: { enabled: true },
  gateway: { enabled: false },
  serviceMonitor: { enabled: false },
  prometheusRule: { enabled: false },
};

let api: ApiServer;
let release: HelmRelease;
beforeAll(async () => {
  api = await startApiServer();
  for (const name of ["registry", "resources", "team-a", "staging"]) await createNamespace(api, name);
  release = { kubeconfig: api.kubeconfig, name: "wharfinger", namespace: "registry" };
  await install(release, values);
});
afterAll(() => api.stop());

/** `Kind namespace/name` of what the release made, or left. */
async function objectsOf({ name }: Pick<HelmRelease, "name">): Promise<readonly string[]> {
  const kinds =
    "deployments,services,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,ingresses," +
    "poddisruptionbudgets,horizontalpodautoscalers,persistentvolumeclaims";
  const { stdout, stderr } = await api.kubectl(["get", kinds, "-A", "-l", `app.kubernetes.io/instance=${name}`, "-o", "json"]);
  expect(stderr).toBe("");
  const { items } = JSON.parse(stdout) as { items: { kind: string; metadata: { namespace?: string; name: string } }[] };
  return items.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`).sort();
}

test.each(Object.keys(profiles).filter((name) => name !== "everything"))("the API server takes every field of %s", async (name) => {
  const rendered = await helmTemplate(profiles[name] ?? {}, { name: "strictly", namespace: "staging" });
  // A Pod's account has to be there, which a dry run does not make.
  const stdout = rendered.stdout.replaceAll(/^ +serviceAccountName: strictly-wharfinger-test$/gm, "");
  const { stderr, code } = await api.kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", "-"], { input: stdout });
  // The definitions are those of the other release, and were not made by apply.
  expect(stderr.replaceAll(/^Warning: resource customresourcedefinitions.*\n/gm, "")).toBe("");
  expect(code).toBe(0);
});

interface Rule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** What everybody may who has a token at all. */
const ofEverybody = new Set(["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"]);

/** As the API server answers the account itself: `group/resource/name verb,verb`, sorted. */
async function rightsOf(account: string, namespace: string): Promise<readonly string[]> {
  const review = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } };
  const args = [
    "create",
    "-f",
    "-",
    "-o",
    "json",
    "--validate=false",
    "--as",
    `system:serviceaccount:${account}`,
    "--as-group",
    "system:authenticated",
  ];
  const { stdout, stderr } = await api.kubectl(args, { input: JSON.stringify(review) });
  expect(stderr).toBe("");
  const { status } = JSON.parse(stdout) as { status: { resourceRules: readonly Rule[]; incomplete: boolean } };
  expect(status.incomplete).toBe(false);
  return status.resourceRules
    .flatMap(({ verbs, apiGroups, resources, resourceNames = [""] }) =>
      apiGroups.flatMap((group) =>
        resources
          .filter((resource) => !ofEverybody.has(resource))
          .flatMap((resource) =>
            resourceNames.map((name) => `${group}${group === "" ? "" : "/"}${resource}${name === "" ? "" : `/${name}`} ${verbs.join(",")}`),
          ),
      ),
    )
    .sort();
}

const ofKinds = (suffix: string, verbs: string) =>
  ["accesspolicies", "retentionpolicies", "tagpolicies", "upstreams"].map((kind) => `wharfinger.dev/${kind}${suffix} ${verbs}`);
const watching = [
  "configmaps get,list,watch",
  "coordination.k8s.io/leases create",
  "coordination.k8s.io/leases/wharfinger get,update",
  "events.k8s.io/events create,patch",
  "namespaces get",
  "secrets get,list,watch",
  ...ofKinds("", "get,list,watch"),
  ...ofKinds("/status", "patch"),
];

test.each<[account: string, namespace: string, rights: readonly string[]]>([
  ["registry:wharfinger-registry", "registry", ["events.k8s.io/events create,patch"]],
  ["registry:wharfinger-registry", "resources", []],
  ["registry:wharfinger-operator", "registry", ["events.k8s.io/events create,patch", "secrets/wharfinger-credentials create,get,patch"]],
  [
    "registry:wharfinger-operator",
    "resources",
    [
      ...watching,
      "batch/jobs create,get,list,watch,delete",
      "configmaps create",
      "configmaps/wharfinger patch",
      "events list",
      "pods list,watch",
      "secrets/wharfinger-credentials create,get,patch",
    ],
  ],
  ["registry:wharfinger-operator", "team-a", watching],
  ["registry:wharfinger-operator", "kube-system", []],
  ["resources:wharfinger-jobs", "resources", []],
  ["resources:wharfinger-jobs", "registry", []],
  ["registry:wharfinger-test", "registry", []],
  [
    "registry:wharfinger-reporter",
    "kube-system",
    [
      "apps/controllerrevisions list",
      "apps/daemonsets list",
      "apps/deployments list",
      "apps/replicasets list",
      "apps/statefulsets list",
      "batch/cronjobs list",
      "batch/jobs list",
      "pods list,watch",
    ],
  ],
  // It is a person's only by a binding that a person makes.
  ["registry:wharfinger-admin", "registry", []],
])("%s may do in %s what it needs, and nothing else", async (account, namespace, rights) => {
  expect(await rightsOf(account, namespace)).toEqual([...rights].sort());
});

async function canI(user: string, group: string, [verb, resource, namespace]: readonly [string, string, string]): Promise<string> {
  const { stdout } = await api.kubectl(["auth", "can-i", verb, resource, "-n", namespace, "--as", user, "--as-group", group]);
  return stdout.trim();
}

test.each([
  // The database's password, the bucket's keys, the certificate's key.
  ["get", "secrets/database", "registry"],
  ["list", "secrets", "registry"],
  ["create", "pods/exec", "resources"],
  ["create", "pods", "resources"],
  ["create", "serviceaccounts/token", "registry"],
  ["update", "accesspolicies", "resources"],
  ["delete", "configmaps/wharfinger", "resources"],
  ["create", "jobs", "team-a"],
  ["create", "rolebindings", "resources"],
] as const)("the operator may not %s %s in %s", async (verb, resource, namespace) => {
  expect(await canI("system:serviceaccount:registry:wharfinger-operator", "system:serviceaccounts", [verb, resource, namespace])).toBe(
    "no",
  );
});

test("an upgrade is taken, and a rollback brings back the settings of then, under the name that its Pods ask for", async () => {
  const settings = async () => (await objectsOf(release)).filter((object) => object.includes("-settings-"));
  const mounted = async () => {
    const path = '{.spec.template.spec.volumes[?(@.name=="settings")].configMap.name}';
    return (await api.kubectl(["get", "deployment", "wharfinger-registry", "-n", "registry", "-o", `jsonpath=${path}`])).stdout;
  };
  const before = [await settings(), await mounted()];
  expect(before).toEqual([[`ConfigMap registry/${before[1] as string}`], expect.stringContaining("wharfinger-settings-")]);
  const changed = {
    ...values,
    image: { tag: "9.9.9" },
    settings: { ...values.settings, readOnly: true },
    commonLabels: { team: "platform" },
  };
  await install(release, changed);
  expect(await settings()).toEqual([`ConfigMap registry/${await mounted()}`]);
  expect(await mounted()).not.toBe(before[1]);
  await rollBack(release, 1);
  expect([await settings(), await mounted()]).toEqual(before);
});

test("a second release lives in another namespace, and an uninstallation leaves definitions and volumes alone", async () => {
  const second = { ...release, name: "second", namespace: "staging" };
  const first = await objectsOf(release);
  const notes = await install(second, { profile: "embedded", crds: { enabled: false } });
  expect(notes).toContain("helm -n staging test second");
  await api.kubectl(["create", "-f", "-", "-n", "resources"], {
    input: JSON.stringify({
      apiVersion: "wharfinger.dev/v1alpha1",
      kind: "Upstream",
      metadata: { name: "hub" },
      spec: { prefix: "hub", url: "https://registry-1.docker.io" },
    }),
  });
  expect((await objectsOf(second)).length).toBeGreaterThan(10);
  await uninstall(second);
  expect(await objectsOf(second)).toEqual([
    "PersistentVolumeClaim staging/second-wharfinger-data",
    "PersistentVolumeClaim staging/second-wharfinger-record",
  ]);
  expect(await objectsOf(release)).toEqual(first);
  await uninstall(release);
  expect(await objectsOf(release)).toEqual([]);
  const { stdout } = await api.kubectl(["get", "customresourcedefinitions", "-o", "name"]);
  expect(
    stdout
      .trim()
      .split("\n")
      .map((name) => name.split("/")[1]),
  ).toEqual(["accesspolicies", "retentionpolicies", "tagpolicies", "upstreams"].map((kind) => `${kind}.wharfinger.dev`));
  expect((await api.kubectl(["get", "upstreams", "-n", "resources", "-o", "name"])).stdout.trim()).toBe("upstream.wharfinger.dev/hub");
  // As somebody would who installs it anew: the definitions are taken over.
  await install(release, values);
  expect(await objectsOf(release)).toEqual(first);
});
