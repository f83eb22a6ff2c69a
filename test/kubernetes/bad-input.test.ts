// What people get wrong, on a real API server: each mistake is said where one looks, with an event, and nothing else suffers from it.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { kinds } from "../../src/domain/resource.ts";
import { paths } from "../../src/operator/kube/objects.ts";
import { pushImage } from "../conformance/content.ts";
import { documentCases, judge } from "../support/documents.ts";
import { eventually } from "../support/eventually.ts";
import { GitHost, type BareRepository } from "../support/git-remote.ts";
import { send } from "../support/http.ts";
import { KubeletMount } from "../support/kubelet-mount.ts";
import { Kubelet } from "../support/kubelet.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { offlineUpstream, OperatorWorld } from "../support/operator-world.ts";
import { accepted, create, resourcePath } from "../support/resource-api.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";
import { sharedApiServer } from "../support/shared-kubernetes.ts";

let world: OperatorWorld;
let host: GitHost;
let repository: BareRepository;
/** Watched, and granted nothing. */
let stranger: string;
/** Watched, and granted a prefix. */
let tenant: string;

interface Listed<Item> {
  readonly items: readonly Item[];
}
interface Said {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}
/** `resource`: upstream/name. */
async function conditions(resource: string, namespace = world.namespace): Promise<Readonly<Record<string, Said>>> {
  const [word, name = ""] = resource.split("/");
  const kind = kinds.find((known) => known.toLowerCase() === word) ?? "Upstream";
  const path = resourcePath(kind, namespace, name);
  const { body } = await world.api.send<{ status?: { conditions?: readonly Said[] } }>("GET", path);
  return Object.fromEntries((body.status?.conditions ?? []).map((condition) => [condition.type, condition]));
}
const becomes = (resource: string, expected: object, namespace?: string) =>
  eventually(async () => expect(await conditions(resource, namespace)).toMatchObject(expected));
/** Ready is False for the reason, a person has to do something, and `kubectl describe` says it too. */
async function stalls(resource: string, reason: string, message: string, namespace = world.namespace): Promise<void> {
  const said = { status: "False", reason, message: expect.stringContaining(message) as string };
  await becomes(resource, { Ready: said, Stalled: { ...said, status: "True" } }, namespace);
  await eventually(async () => {
    const { body } = await world.api.send<Listed<{ type: string; reason: string; note: string; regarding: { name: string } }>>(
      "GET",
      paths.events(namespace),
    );
    const told = body.items.filter(({ regarding }) => regarding.name === resource.split("/")[1]);
    expect(told.map((event) => [event.type, event.reason, event.note.includes(message)])).toContainEqual(["Warning", reason, true]);
  });
}
const upstream = (name: string, prefix = name, fields = "") => offlineUpstream({ name, prefix, fields });
const gathered = async () => {
  const path = `/api/v1/namespaces/${world.namespace}/secrets/wharfinger-credentials`;
  return Object.keys((await world.api.send<{ data?: object }>("GET", path)).body.data ?? {});
};

beforeAll(async () => {
  tenant = await createNamespace(await sharedApiServer());
  const tenants = [{ namespace: tenant, kinds: ["Upstream"], prefixes: ["tenants"] }];
  const registry = { egress: { allowedCIDRs: ["127.0.0.0/8"] }, tenants };
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-bad-input-"));
  const mount = await KubeletMount.make(folder);
  [world, host] = await Promise.all([OperatorWorld.open({ registry, secrets: mount.folder }), GitHost.start()]);
  world.defer(() => rm(folder, { recursive: true, force: true }));
  world.defer(() => host.stop());
  const kubelet = new Kubelet({ api: world.api, namespace: world.namespace, name: "wharfinger-credentials", mounts: [mount] });
  world.defer(() => kubelet.stop());
  repository = host.repository("cluster");
  stranger = await createNamespace(world.api);
  const account = `--serviceaccount=${world.namespace}:default`;
  for (const namespace of [stranger, tenant]) {
    await world.kubectl(["-n", namespace, "apply", "-f", "deploy/watched-namespace/role.yaml"]);
    await world.kubectl(["-n", namespace, "create", "rolebinding", "wharfinger-operator", "--role=wharfinger-operator", account]);
  }
  const literals = Object.entries(host.secret).map(([key, text]) => `--from-literal=${key}=${text}`);
  await world.kubectl(["create", "secret", "generic", "record", ...literals]);
  // Two that come together, before anybody looks.
  await world.apply(upstream("twin-b", "twin"), upstream("twin-a", "twin"));
  const remote = { url: host.urlOf(repository), interval: "1s", secretRef: { namespace: world.namespace, name: "record" } };
  await world.startOperator({ namespaces: [world.namespace, stranger, tenant], settings: { record: { remote }, tenants } });
});
afterAll(() => world?.close());

test("what an API server cannot judge is Stalled, in the words of wharfinger validate, and nothing of it is recorded", async () => {
  const wrong = kinds.flatMap((kind) =>
    documentCases(kind, "invalid")
      .filter(({ rule, before }) => rule.startsWith("code-") && before === undefined)
      .map((entry) => ({ ...entry, name: `wrong-${entry.rule}` })),
  );
  expect(wrong.length).toBeGreaterThan(10);
  for (const { kind, name, document } of wrong) {
    accepted(await create(world.api, { kind, name, spec: document.spec }, { namespace: world.namespace }), name);
  }
  for (const entry of wrong) {
    const [problem] = judge(entry).problems ?? [];
    await stalls(`${entry.kind.toLowerCase()}/${entry.name}`, "Invalid", `${problem?.path} ${problem?.message}`.slice(0, 200));
  }
  expect(repository.git("ls-tree", "-r", "--name-only", "wharfinger")).not.toContain("wrong-");
});

test("of two that want one prefix the first has it, and of two that come together the first by name; the other follows when it is free", async () => {
  const owner = `prefix twin belongs to upstream ${world.namespace}/twin-a, which was there first`;
  await world.hasCondition("Ready", "upstream/twin-a");
  await stalls("upstream/twin-b", "PrefixInUse", owner);
  // By name it would come before.
  await world.apply(upstream("an-earlier-name", "twin"));
  await stalls("upstream/an-earlier-name", "PrefixInUse", owner);
  expect((await conditions("upstream/twin-a"))["Ready"]).toMatchObject({ status: "True" });
  await world.kubectl(["delete", "upstream/twin-a", "upstream/an-earlier-name"]);
  await world.hasCondition("Ready", "upstream/twin-b");
  expect(await conditions("upstream/twin-b")).not.toHaveProperty("Stalled");
});

test("a prefix under which images were pushed is named with them", async () => {
  await pushImage(world.registry.url, "taken/app", "1");
  await world.apply(upstream("taken"));
  await stalls("upstream/taken", "PrefixInUse", "prefix taken holds pushed content (taken/app)");
  expect((await send(world.registry.url, "GET", "/v2/taken/app/manifests/1")).status).toBe(200);
});

test("a policy of an Upstream that is not there waits for it, and goes on by itself", async () => {
  await world.apply(`
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: early}
spec: {upstreamRef: {name: late}, images: [{repository: a/b}], verify: {mode: Unverified}, schedule: "0 3 1 1 *"}
`);
  const message = expect.stringContaining(`there is no upstream ${world.namespace}/late that is served`) as string;
  await becomes("tagpolicy/early", { Ready: { status: "False", reason: "DependencyNotReady", message } });
  expect(await conditions("tagpolicy/early")).not.toHaveProperty("Stalled");
  await eventually(async () =>
    expect(await world.kubectl(["events", "--for", "tagpolicy/early"])).toMatch(/Warning\s+DependencyNotReady.*late/),
  );
  await world.apply(upstream("late"));
  await world.hasCondition("Ready", "tagpolicy/early");
});

test("a resource of a namespace without a grant is refused, and its Secrets are nobody's business", async () => {
  await world.kubectl(["-n", stranger, "create", "secret", "generic", "pull", "--from-literal=username=u", "--from-literal=password=p"]);
  await world.kubectl(["-n", stranger, "apply", "-f", "-"], upstream("foreign", "foreign", ", auth: {secretRef: {name: pull}}"));
  await stalls("upstream/foreign", "NotGranted", `namespace ${stranger} has no grant`, stranger);
  // In the operator's namespace there is one of the same name, which is another one.
  await world.kubectl(["create", "secret", "generic", "pull", "--from-literal=username=ours", "--from-literal=password=p"]);
  await world.apply(upstream("ours", "ours", ", auth: {secretRef: {name: pull}}"));
  await eventually(async () =>
    expect((await gathered()).sort()).toEqual([".salt", `${world.namespace}_pull_password`, `${world.namespace}_pull_username`]),
  );
});

test("an upstream that nobody pulls from says whether it can be reached: Ready it is either way", async () => {
  const reachable = await ScriptedUpstream.start();
  const at = (name: string, url: string) =>
    upstream(name).replace(`https://${name}.example.org`, url).replace("offline: true", "insecure: true");
  await world.apply(at("away", "http://127.0.0.1:9"), at("there", reachable.url));
  await becomes("upstream/there", { Reachable: { status: "True", reason: "Succeeded", message: "upstream answers" } });
  await becomes("upstream/away", {
    Ready: { status: "True", reason: "Succeeded" },
    Reachable: { status: "False", reason: "Unreachable", message: expect.stringContaining("127.0.0.1:9 cannot be reached") as string },
  });
  expect(reachable.seen.map(({ method, path }) => `${method} ${path}`)).toEqual(["GET /v2/"]);
  // A request is done when upstream was asked, and the status says what it said.
  await reachable.stop();
  await world.kubectl(["annotate", "upstream/there", "wharfinger.dev/requestedAt=now"]);
  await world.becomes("upstream/there", "{.status.lastHandledReconcileAt}", "now");
  await becomes("upstream/there", { Reachable: { status: "False", reason: "Unreachable" } });
  await world.kubectl(["delete", "upstream/there"]);
});

test("while Git is away a resource that is deleted is served on, and a Secret that is deleted is not; then the record follows", async () => {
  await world.hasCondition("Ready", "upstream/late");
  host.faults.down = true;
  await world.apply(upstream("while-away"));
  await becomes("upstream/while-away", { Recorded: { status: "False", reason: "RemoteUnavailable" } });
  await world.kubectl(["delete", "tagpolicy/early", "upstream/late", "secret/pull"]);
  await eventually(async () => expect(await gathered()).toEqual([".salt"]));
  await becomes("upstream/ours", { CredentialsLoaded: { status: "False", reason: "SecretNotFound" } });
  expect((await world.control.upstreams()).map(({ prefix }) => prefix)).toContain("late");
  host.faults.down = false;
  await world.hasCondition("Ready", "upstream/while-away");
  await eventually(async () => expect((await world.control.upstreams()).map(({ prefix }) => prefix)).not.toContain("late"));
  expect(repository.git("log", "--format=%s", "wharfinger")).toContain(`upstream ${world.namespace}/late: removed`);
});

test("in a tenant's namespace the operator may write status, events and its Lease alone, and that is enough", async () => {
  const may = async (verb: string, what: string, namespace: string) => {
    const as = `--as=system:serviceaccount:${world.namespace}:default`;
    return (await world.api.kubectl(["-n", namespace, "auth", "can-i", verb, what, as])).stdout.trim() === "yes";
  };
  const writes = [
    ["patch", "secrets/wharfinger-credentials"],
    ["create", "configmaps"],
    ["patch", "configmaps/wharfinger"],
  ] as const;
  for (const [verb, what] of writes) {
    expect([what, await may(verb, what, tenant), await may(verb, what, world.namespace)]).toEqual([what, false, true]);
  }
  await world.kubectl(["-n", tenant, "create", "secret", "generic", "pull", "--from-literal=username=u", "--from-literal=password=p"]);
  await world.kubectl(["-n", tenant, "apply", "-f", "-"], upstream("theirs", "tenants", ", auth: {secretRef: {name: pull}}"));
  await becomes("upstream/theirs", { Ready: { status: "True" } }, tenant);
  await eventually(async () =>
    expect(await gathered()).toEqual(expect.arrayContaining([`${tenant}_pull_password`, `${tenant}_pull_username`])),
  );
  await eventually(async () => expect(await world.kubectl(["-n", tenant, "events", "--for", "upstream/theirs"])).toMatch(/Normal/));
  await world.kubectl(["-n", tenant, "delete", "upstream/theirs"]);
  await eventually(async () => expect(await gathered()).toEqual([".salt"]));
  expect(world.operator?.logs()).not.toMatch(/is forbidden|cannot (create|patch|update|list|watch|get) resource/);
});
