// Secrets of a cluster on their way to the processes of a registry: gathered by the operator, mounted as a kubelet does it, used by the next request.

import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import { ControlClient } from "../../src/client/control-client.ts";
import { hashOf } from "../../src/domain/mounted-secrets.ts";
import { answerTo, eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { createCertificates } from "../support/certificates.ts";
import { basic } from "../support/issuers.ts";
import { createNamespace } from "../support/kubernetes.ts";
import { createTrustedRoot } from "../support/trusted-root.ts";
import { MountedWorld } from "../support/mounted-world.ts";
import { resourcePath } from "../support/resource-api.ts";
import { processToken } from "../support/serving-process.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

const first = { username: "robot", password: "canary-one" };
const second = { username: "robot", password: "canary-two" };

/** Milliseconds. A kubelet may take more than a minute: `KUBELET_TAKES=75000` measures that. */
const kubeletTakes = Number(process.env["KUBELET_TAKES"] ?? 2_000);

/** Settings whose Secrets of users, robots and keys for tokens are in a namespace that the operator watches. */
const loginsOf = (namespace: string) => ({
  access: { users: { secretRef: { namespace, name: "users" } }, robots: { secretRef: { namespace, name: "robots" } } },
  auth: { signingKeySecret: { namespace, name: "signing" } },
});

let world: MountedWorld;
let upstream: ScriptedUpstream;
beforeAll(async () => {
  upstream = await ScriptedUpstream.start({ challenge: "basic", login: first });
  for (const tag of ["a", "b", "c", "d", "e", "f", "latest"]) upstream.addImage("team/app", tag, Buffer.from(tag));
  world = await MountedWorld.of(2, (namespace) => ({ egress: { allowedCIDRs: ["127.0.0.0/8"] }, access: loginsOf(namespace).access }));
  await world.startOperator();
});
afterAll(async () => {
  await world?.close();
  await upstream?.stop();
});

const spec = (name: string, fields: string) => `
apiVersion: wharfinger.dev/v1alpha1
kind: Upstream
metadata: {name: ${name}}
spec: {url: "${upstream.url}", insecure: true, prefix: ${name}${fields}}
`;
const secret = (name: string, data: Readonly<Record<string, string>>) => `
apiVersion: v1
kind: Secret
metadata: {name: ${name}}
data: ${JSON.stringify(Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])))}
`;
const pull = (tag: string, process = 0) => send(world.registries[process]?.url ?? "", "GET", `/v2/private/team/app/manifests/${tag}`);
const loaded = (name = "private") => world.condition("Upstream", name, "CredentialsLoaded");
interface Gathered {
  readonly metadata: { readonly resourceVersion: string; readonly managedFields: readonly { readonly manager: string }[] };
  readonly data?: Readonly<Record<string, string>>;
}
const path = () => `/api/v1/namespaces/${world.namespace}/secrets/wharfinger-credentials`;
const gathered = async () => (await world.api.send<Gathered>("GET", path())).body;
const filesOf = ({ data = {} }: Gathered) => new Map(Object.entries(data).map(([file, value]) => [file, Buffer.from(value, "base64")]));

interface Version {
  readonly metadata: { readonly resourceVersion: string };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly lastTransitionTime: string }[];
    readonly lastRun?: { readonly id?: string; readonly state: string; readonly startedAt?: string };
  };
}
type WatchedKind = "Upstream" | "TagPolicy" | "AccessPolicy";
const collection = (kind: WatchedKind) => resourcePath(kind, world.namespace);
/** A server that has just been told of a kind does not list it at once. */
const now = (kind: WatchedKind) =>
  answerTo(`a list of ${kind}s`, async () => {
    const { status, body } = await world.api.send<Version>("GET", collection(kind));
    return status === 200 ? body.metadata.resourceVersion : undefined;
  });
/** Each version of a resource since that one (`now`), as whoever watches it was told. */
async function versionsSince(since: string, kind: WatchedKind, name: string): Promise<readonly Version[]> {
  const { metadata } = await world.stored(kind, name);
  const query = new URLSearchParams({ watch: "1", resourceVersion: since, fieldSelector: `metadata.name=${name}`, timeoutSeconds: "2" });
  const lines = (await world.kubectl(["get", "--raw", `${collection(kind)}?${query.toString()}`])).trim().split("\n");
  const versions = lines.map((line) => (JSON.parse(line) as { readonly object: Version }).object);
  // Whether it is all of them.
  expect(versions.map((version) => version.metadata.resourceVersion)).toContain(metadata.resourceVersion);
  return versions;
}
const said = ({ status }: Version, type: string) => status?.conditions?.find((condition) => condition.type === type)?.status;
/** How many versions said that it is Ready, and how many of these that its credentials are not loaded. */
function readyBefore(versions: readonly Version[]): readonly [ready: number, tooEarly: number] {
  const ready = versions.filter((version) => said(version, "Ready") === "True");
  return [ready.length, ready.filter((version) => said(version, "CredentialsLoaded") !== "True").length];
}

test("a Secret that a resource names is had by every process, which says so, and the resource is not ready before", async () => {
  const since = await now("Upstream");
  // The processes have nothing at all, and nothing comes for a while.
  await world.kubelet.hold();
  await world.apply(secret("pull", { ...first, note: "of nobody's business" }), spec("private", ", auth: {secretRef: {name: pull}}"));
  await eventually(async () => expect(await loaded()).toMatchObject({ status: "False", reason: "Progressing" }));
  await eventually(async () => expect(Object.keys((await gathered()).data ?? {})).toContain(`${world.namespace}_pull_password`));
  expect(await world.condition("Upstream", "private", "Ready")).toMatchObject({ status: "False", reason: "Progressing" });
  world.kubelet.release();
  await world.hasCondition("CredentialsLoaded", "upstream/private");
  await world.hasCondition("Ready", "upstream/private");
  const [ready, tooEarly] = readyBefore(await versionsSince(since, "Upstream", "private"));
  expect([ready > 0, tooEarly]).toEqual([true, 0]);
  expect(await loaded()).toMatchObject({ reason: "Succeeded", message: "every process of the registry has the Secret as it is now" });
  for (const process of [0, 1]) expect((await pull("a", process)).status).toBe(200);
  const { metadata, data = {} } = await gathered();
  expect(Object.keys(data).sort()).toEqual([".salt", `${world.namespace}_pull_password`, `${world.namespace}_pull_username`]);
  expect(metadata.managedFields.map(({ manager }) => manager)).toEqual(["wharfinger"]);
  const { pods } = await world.control.record();
  const hash = hashOf(filesOf(await gathered()));
  expect(pods.map(({ credentials }) => credentials)).toEqual(Array.from({ length: 2 }, () => hash));
});

test("a new password counts from the next request on, in every process, and nobody starts anew", async () => {
  const before = world.registries.map(({ pid }) => pid);
  upstream.login = second;
  await world.kubelet.hold();
  await world.apply(secret("pull", second));
  await eventually(async () => expect(await loaded()).toMatchObject({ status: "False", reason: "Progressing" }));
  // The one before is in use meanwhile: whoever waits for Ready is not disturbed.
  expect(await world.condition("Upstream", "private", "Ready")).toMatchObject({ status: "True" });
  world.kubelet.release();
  await world.hasCondition("CredentialsLoaded", "upstream/private");
  for (const process of [0, 1]) expect((await pull(process === 0 ? "b" : "c", process)).status).toBe(200);
  expect(world.registries.map(({ pid }) => pid)).toEqual(before);
});

test("what does not change is not written, and what somebody else changes in it is put right", async () => {
  const { metadata, data } = await gathered();
  await world.kubectl(["annotate", "upstream/private", "wharfinger.dev/requestedAt=again"]);
  await world.becomes("upstream/private", "{.status.lastHandledReconcileAt}", "again");
  expect((await gathered()).metadata.resourceVersion).toBe(metadata.resourceVersion);
  const body = { data: { [`${world.namespace}_pull_password`]: "eA==", other_pull_password: "eA==" } };
  await world.api.send("PATCH", path(), { body, contentType: "application/merge-patch+json" });
  await world.kubectl(["annotate", "--overwrite", "upstream/private", "wharfinger.dev/requestedAt=more"]);
  await eventually(async () => expect((await gathered()).data).toEqual(data), 40);
  await world.api.send("DELETE", path());
  await world.kubectl(["annotate", "--overwrite", "upstream/private", "wharfinger.dev/requestedAt=still"]);
  await eventually(
    async () =>
      expect(
        filesOf(await gathered())
          .get(`${world.namespace}_pull_password`)
          ?.toString(),
      ).toBe(second.password),
    40,
  );
  await world.hasCondition("CredentialsLoaded", "upstream/private");
});

test("a Secret that cannot be used is said at once, before anything is asked with it, and the one before is used no more", async () => {
  const certificates = await createCertificates();
  const says = async (reason: string, message: RegExp, name = "private") =>
    eventually(async () => {
      expect(await loaded(name)).toMatchObject({ status: "False", reason, message: expect.stringMatching(message) as string });
      expect(await world.condition("Upstream", name, "Ready")).toMatchObject({ status: "False", reason });
    });
  await world.kubectl(["delete", "secret/pull"]);
  await says("SecretNotFound", /there is no Secret \S+\/pull: create it/);
  // What upstream does not have is 404 as long as it is asked.
  let asked = 0;
  await eventually(async () => expect((await pull(`none-${asked++}`)).status).toBe(502));
  expect((await pull("a")).status, "what is cached").toBe(200);
  await world.apply(secret("pull", { token: "canary-three" }));
  await says("SecretInvalid", /needs the keys username and password, or \.dockerconfigjson \(it has token\)/);
  await world.apply(secret("pull", { ".dockerconfigjson": "{canary" }));
  await says("SecretInvalid", /\.dockerconfigjson is not JSON/);
  const { client, server } = certificates;
  await world.apply(secret("tls", { "tls.crt": client.cert, "tls.key": server.key }), spec("tls", ", certSecretRef: {name: tls}"));
  await says("SecretInvalid", /tls\.key that does not belong to the first certificate/, "tls");
  await world.apply(secret("tls", { "ca.crt": certificates.authority.repeat(200) }));
  await says("CredentialsTooLarge", /has \d+ bytes in ca\.crt, 65536 at most/, "tls");
  await world.apply(secret("tls", { "ca.crt": certificates.authority }), secret("pull", second));
  await world.hasCondition("Ready", "upstream/tls");
  await world.hasCondition("CredentialsLoaded", "upstream/tls", "upstream/private");
  expect((await pull("d")).status).toBe(200);
  expect(await world.kubectl(["events", "--for", "upstream/tls"])).toMatch(/Warning\s+CredentialsTooLarge/);
});

/** Milliseconds from the server's answer to a change until every process of the registry goes by it. */
async function servedAfter(change: object, isServed: (process: number) => Promise<boolean>): Promise<number> {
  const path = resourcePath("Upstream", world.namespace, "private");
  const { status } = await world.api.send("PATCH", path, { body: { spec: change }, contentType: "application/merge-patch+json" });
  expect(status).toBe(200);
  const began = performance.now();
  await eventually(
    async () => expect(await Promise.all(world.registries.map((_, process) => isServed(process)))).not.toContain(false),
    150,
  );
  return performance.now() - began;
}
/** What docs/explanation/performance.md says; no test asserts a time. */
const tell = (what: string, milliseconds: readonly number[]) =>
  process.stderr.write(`${what}: ${milliseconds.map((one) => `${(one / 1_000).toFixed(2)} s`).join(", ")}\n`);

test("a change is served by every process, also one that names a Secret that none of them has yet", async () => {
  const times: number[] = [];
  for (const host of ["one", "two", "three", "four", "five"].map((name) => `${name}.example.org`)) {
    const answers = async (process: number) =>
      (await send(world.registries[process]?.url ?? "", "GET", `/v2/team/app/manifests/a?ns=${host}`)).status === 200;
    times.push(await servedAfter({ hosts: [host] }, answers));
  }
  tell("a change without a new Secret", times);
  const third = { username: "robot", password: "canary-three" };
  upstream.login = third;
  const since = await now("Upstream");
  world.kubelet.delay = kubeletTakes;
  await world.apply(secret("renamed", third));
  const served = servedAfter(
    { auth: { secretRef: { name: "renamed" } } },
    async (process) => (await pull(process === 0 ? "e" : "f", process)).status === 200,
  );
  tell(`a new Secret, with a kubelet that takes ${kubeletTakes / 1_000} s`, [await served]);
  await world.hasCondition("Ready", "upstream/private");
  world.kubelet.delay = 0;
  const versions = await versionsSince(since, "Upstream", "private");
  expect(versions.map((version) => said(version, "Ready"))).toContain("False");
  expect((await gathered()).data).not.toHaveProperty(`${world.namespace}_pull_password`);
});

const tagPolicy = `
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: images}
spec:
  upstreamRef: {name: private}
  images: [{repository: team/app}]
  verify: {keyless: [{issuer: "https://issuer.example.com", subject: ci}], trustedRoot: {configMapRef: {name: our-sigstore}}}
  schedule: "0 3 1 1 *"
`;

test("a trusted root comes from its ConfigMap to every process, is followed, and is said to be missing, no root, or out of date", async () => {
  const says = (reason: string, message: RegExp) =>
    eventually(async () => {
      const ready = await world.condition("TagPolicy", "images", "Ready");
      expect(ready).toMatchObject({ status: "False", reason, message: expect.stringMatching(message) as string });
    });
  const put = (data: object) =>
    world.apply(JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "our-sigstore" }, data }));
  const isServed = async (root: string) => {
    await world.hasCondition("CredentialsLoaded", "tagpolicy/images");
    // The run that waited for it is over: a policy has one at a time.
    await world.becomes("tagpolicy/images", "{.status.lastRun.state}", "succeeded");
    await world.hasCondition("Ready", "tagpolicy/images");
    for (const { url } of world.registries) {
      const control = new ControlClient({ url, token: processToken });
      try {
        const { id } = await control.startRun({ kind: "tag-sync", policy: `${world.namespace}/images`, trigger: "manual" });
        await eventually(async () => expect((await control.run(id)).trustedRoot).toBe(root));
        await control.updateRun(id, { state: "succeeded" });
      } finally {
        await control.close();
      }
    }
  };
  await world.apply(tagPolicy);
  await says(
    "ConfigMapNotFound",
    /there is no ConfigMap \S+\/our-sigstore .*create it \(kubectl -n \S+ create configmap our-sigstore --from-file=trusted_root\.json\)/,
  );
  const [first, second] = [JSON.stringify(await createTrustedRoot()), JSON.stringify(await createTrustedRoot())];
  await put({ "trusted_root.json": first, "other.json": "of nobody's business" });
  await isServed(first);
  const file = `ConfigMap_${world.namespace}_our-sigstore_trusted_root.json`;
  expect([...filesOf(await gathered()).keys()].filter((name) => name.startsWith("ConfigMap_"))).toEqual([file]);
  await put({ "trusted_root.json": second });
  await isServed(second);
  await put({ "trusted_root.json": "{}" });
  await says("TrustedRootInvalid", /it is no Sigstore trusted root/);
  await put({ "trusted_root.json": JSON.stringify(await createTrustedRoot({ until: "2022-12-31T00:00:00Z" })) });
  await says("TrustedRootExpired", /every certificate authority in it ended by 2022-12-31T00:00:00\.000Z: replace it/);
  await world.kubectl(["delete", "tagpolicy/images"]);
  await eventually(async () => expect([...filesOf(await gathered()).keys()]).not.toContain(file));
});

const signed = (keys: string) => `
apiVersion: wharfinger.dev/v1alpha1
kind: TagPolicy
metadata: {name: signed}
spec: {upstreamRef: {name: private}, images: [{repository: team/app}], verify: {keys: [{secretRef: {name: ${keys}}}]}, schedule: "0 3 1 1 *"}
`;
const publicKey = () => generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
const lastRun = async () => ((await world.stored("TagPolicy", "signed")).status as Version["status"])?.lastRun;

test.each(["publisher", "successor"])(
  "the first run of a policy waits for the key that it names (%s), and no status says otherwise",
  async (keys) => {
    const before = keys === "publisher" ? undefined : await lastRun();
    const since = await now("TagPolicy");
    // One of two processes has it early: that is not enough.
    await world.kubelet.hold(1);
    await world.apply(secret(keys, { "cosign.pub": publicKey() }), signed(keys));
    const file = `${world.namespace}_${keys}_cosign.pub`;
    await eventually(async () => expect(Object.keys((await gathered()).data ?? {})).toContain(file));
    // Read anew each time: what only the last generation named is taken out a moment after the new one came in.
    await eventually(async () => {
      const hash = hashOf(filesOf(await gathered()));
      expect((await world.control.record()).pods.filter(({ credentials }) => credentials === hash)).toHaveLength(1);
    });
    await eventually(async () => {
      const waiting = await world.condition("TagPolicy", "signed", "CredentialsLoaded");
      expect(waiting).toMatchObject({
        status: "False",
        reason: "Progressing",
        message: expect.stringMatching(/Secret \S+ as it is now; .*; its run waits for that, until \S+Z at most/) as string,
      });
    });
    expect(await world.condition("TagPolicy", "signed", "Ready")).toMatchObject({ status: "False", reason: "Progressing" });
    expect(await lastRun()).toEqual(before);
    world.kubelet.release();
    await world.hasCondition("CredentialsLoaded", "tagpolicy/signed");
    await eventually(async () => {
      const run = await lastRun();
      expect([run?.state, run?.id === before?.id]).toEqual(["succeeded", false]);
    });
    const versions = await versionsSince(since, "TagPolicy", "signed");
    const [ready, tooEarly] = readyBefore(versions);
    expect([ready > 0, tooEarly]).toEqual([true, 0]);
    const isNew = ({ status }: Version) => status?.lastRun !== undefined && (before === undefined || status.lastRun.id !== before.id);
    // From the first word of it on every process has the key.
    const begun = versions.findIndex(isNew);
    expect(versions.slice(0, begun).map((version) => said(version, "CredentialsLoaded"))).toContain("False");
    expect(new Set(versions.slice(begun).map((version) => said(version, "CredentialsLoaded")))).toEqual(new Set(["True"]));
    expect(new Set(versions.filter(isNew).flatMap(({ status }) => status?.lastRun?.id ?? [])).size, "runs").toBe(1);
    const newest = (await world.control.finishedRuns()).find(({ policy }) => policy === `${world.namespace}/signed`);
    expect(newest?.result).toMatchObject({ failures: [{ reason: "SignatureMissing" }] });
  },
);

test("an operator that starts anew says nothing new, and nothing secret is in a log", async () => {
  const said = async () => Promise.all(["Ready", "CredentialsLoaded"].map((type) => world.condition("Upstream", "private", type)));
  // An operator that starts while a Secret is on its way does not know what the processes had before.
  await eventually(async () => {
    const hash = hashOf(filesOf(await gathered()));
    expect((await world.control.record()).pods.map(({ credentials }) => credentials)).toEqual([hash, hash]);
  });
  const before = await said();
  const stopped = world.operator;
  await stopped?.stop();
  const next = await world.startOperator();
  await eventually(() => expect(next.logs()).toContain("the Lease is ours"));
  await world.kubectl(["annotate", "--overwrite", "upstream/tls", "wharfinger.dev/requestedAt=anew"]);
  await world.becomes("upstream/tls", "{.status.lastHandledReconcileAt}", "anew");
  // With the times of their last change.
  expect(await said()).toEqual(before);
  const logs = [stopped, next, ...world.registries].map((process) => process?.logs() ?? "").join("");
  expect(logs).toContain("wharfinger-credentials");
  expect(logs).not.toMatch(/canary|PRIVATE KEY/);
});

test("without the right to write it, it is said what is missing, and it goes on when the right is there", async () => {
  const rights = (verbs: readonly string[]) => ({ apiGroups: [""], resources: ["secrets"], verbs });
  const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${world.namespace}/roles/wharfinger-operator`;
  const { body: role } = await world.api.send<{ rules: readonly { resourceNames?: readonly string[] }[] }>("GET", path);
  const without = role.rules.filter(({ resourceNames }) => resourceNames?.includes("wharfinger-credentials") !== true);
  await world.api.send("PUT", path, {
    body: { ...role, rules: [...without, rights(["get", "list", "watch"])], metadata: { name: "wharfinger-operator" } },
  });
  await world.apply(secret("renamed", second));
  await eventually(
    async () =>
      expect(await loaded()).toMatchObject({
        status: "False",
        reason: "NotDelivered",
        message: expect.stringContaining("the Role of deploy/operator/role.yaml") as string,
      }),
    30,
  );
  expect(await world.condition("Upstream", "private", "Ready"), "what was there before is in use").toMatchObject({ status: "True" });
  await world.api.send("PUT", path, { body: { ...role, metadata: { name: "wharfinger-operator" } } });
  await world.hasCondition("CredentialsLoaded", "upstream/private");
});

test("where the registry is in another namespace, a Role for this one Secret is all that the operator needs there, and it says when that is missing", async () => {
  const elsewhere = await createNamespace(world.api);
  await world.operator?.stop();
  world.kubelet.namespace = elsewhere;
  await world.startOperator({
    env: { WHARFINGER_CREDENTIALS: `${elsewhere}/wharfinger-credentials` },
    settings: { auth: { signingKeySecret: { namespace: "default", name: "signing" } } },
  });
  const role = `the Role of deploy/credentials-namespace/role.yaml in namespace ${elsewhere}`;
  const right = `cannot get resource "secrets" in API group "" in the namespace "${elsewhere}"`;
  await eventually(() => expect(world.operator?.logs()).toMatch(new RegExp(`${role} .*${right}`.replaceAll('"', '\\\\?"'))));
  await world.kubectl(["-n", elsewhere, "apply", "-f", "deploy/credentials-namespace/role.yaml"]);
  const account = `--serviceaccount=${world.namespace}:default`;
  const binding = ["create", "rolebinding", "wharfinger-operator-credentials", "--role=wharfinger-operator-credentials", account];
  await world.kubectl(["-n", elsewhere, ...binding]);
  const here = `/api/v1/namespaces/${elsewhere}/secrets/wharfinger-credentials`;
  await eventually(
    async () =>
      expect(Object.keys((await world.api.send<Gathered>("GET", here)).body.data ?? {})).toContain(`${world.namespace}_renamed_password`),
    30,
  );
  await world.hasCondition("CredentialsLoaded", "upstream/private");
  // Of the Secrets beside it, such as the database's, it can read none.
  const may = await world.api.kubectl([
    "-n",
    elsewhere,
    "auth",
    "can-i",
    "--list",
    `--as=system:serviceaccount:${world.namespace}:default`,
  ]);
  expect(may.stdout.split("\n").filter((line) => line.startsWith("secrets"))).toEqual([
    expect.stringMatching(/^secrets +\[\] +\[wharfinger-credentials\] +\[create get patch\]$/),
  ]);
});

test("users in a namespace that is not watched: the log says it, and each policy that names one", async () => {
  await world.apply(`
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: pushers}
spec: {subjects: [{kind: User, name: jane}], repositories: {include: ["team/**"]}, actions: [pull]}
`);
  await world.hasCondition("Ready", "accesspolicy/pushers");
  const says = `users come from Secret default/wharfinger-users (setting access.users.secretRef), and this operator does not watch namespace default (it watches ${world.namespace})`;
  expect(await world.condition("AccessPolicy", "pushers", "CredentialsLoaded")).toMatchObject({
    status: "Unknown",
    message: expect.stringContaining(`whether anybody can log in as jane is not known here: ${says}`) as string,
  });
  expect(world.operator?.logs()).toContain(says);
  expect(world.operator?.logs()).toContain(
    "keys for access tokens come from Secret default/signing (setting auth.signingKeySecret), and this operator does not watch namespace default",
  );
});

test("users, robots and signing keys of a watched namespace are brought, of each what is used, and a policy says of a robot what is wrong", async () => {
  await world.apply(
    secret("users", { htpasswd: "", note: "of nobody's business" }),
    secret("robots", { jane: JSON.stringify({ sha256: "0f".repeat(32) }), node: "wfr_canary" }),
    secret("signing", { "signing.pem": "PRIVATE KEY", note: "of nobody's business" }),
  );
  await world.operator?.stop();
  world.kubelet.namespace = world.namespace;
  await world.startOperator({ settings: loginsOf(world.namespace) });
  const names = ["users_htpasswd", "robots_jane", "robots_node", "signing_signing.pem"].map((name) => `${world.namespace}_${name}`);
  await eventually(async () => {
    const files = [...filesOf(await gathered()).keys()];
    expect(files).toEqual(expect.arrayContaining(names));
    expect(files.filter((file) => file.endsWith("_note"))).toEqual([]);
  });
  const says = (status: string, message: string) =>
    eventually(
      async () => expect(await world.condition("AccessPolicy", "pushers", "CredentialsLoaded")).toMatchObject({ status, message }),
      30,
    );
  const both = `Secrets ${world.namespace}/users and ${world.namespace}/robots have`;
  await says("True", `${both} every user that is named, and every process of the registry knows them`);
  await world.apply(secret("robots", { node: "wfr_canary" }));
  await says(
    "False",
    `spec.subjects[0].name: ${both} no user jane; the key node of ${world.namespace}/robots cannot be used, because it is not {"sha256":"…","expires":"…"} in JSON; make it with wharfinger robot create`,
  );
});

const accessPolicy = (name: string) => `
apiVersion: wharfinger.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${name}}
spec: {subjects: [{kind: Anonymous}, {kind: User, name: ${name}}], repositories: {include: ["${name}/**"]}, actions: [pull]}
`;

test("a policy is not ready before every process knows whom it names, and one that was ready stays so when others come", async () => {
  const robots: Record<string, string> = {};
  const passwords = new Map<string, string>();
  const made = (name: string) => {
    const password = `wfr_${randomBytes(32).toString("base64url")}`;
    passwords.set(name, password);
    robots[name] = JSON.stringify({ sha256: createHash("sha256").update(password).digest("hex") });
    return secret("robots", robots);
  };
  const login = async (name: string, process: number) => {
    const authorization = basic(name, passwords.get(name));
    return (await send(world.registries[process]?.url ?? "", "GET", "/v2/", { headers: { authorization } })).status;
  };
  const waits = (name: string) =>
    eventually(async () => {
      const waiting = {
        status: "False",
        reason: "Progressing",
        message: expect.stringMatching(
          new RegExp(`robots as it is now; .*about a minute; until then the registry may refuse whoever logs in as ${name}$`),
        ) as string,
      };
      expect(await world.condition("AccessPolicy", name, "CredentialsLoaded")).toMatchObject(waiting);
    }, 30);
  const ready = (name: string) => world.condition("AccessPolicy", name, "Ready");

  const since = await now("AccessPolicy");
  // One of two processes has it early: that is not enough.
  await world.kubelet.hold(1);
  await world.apply(made("ci"), accessPolicy("ci"));
  await waits("ci");
  await eventually(async () => expect(await login("ci", 0)).toBe(200), 30);
  expect(await login("ci", 1)).toBe(401);
  expect(await ready("ci")).toMatchObject({ status: "False", reason: "Progressing" });
  world.kubelet.release();
  await world.hasCondition("Ready", "accesspolicy/ci");
  expect([await login("ci", 0), await login("ci", 1)]).toEqual([200, 200]);
  expect(await world.condition("AccessPolicy", "ci", "CredentialsLoaded")).toMatchObject({ status: "True" });

  const later = await now("AccessPolicy");
  await world.kubelet.hold();
  await world.apply(made("node"), accessPolicy("node"));
  await waits("node");
  await waits("ci");
  expect(await ready("node")).toMatchObject({ status: "False", reason: "Progressing" });
  expect(await ready("ci")).toMatchObject({ status: "True" });
  world.kubelet.release();
  await world.hasCondition("Ready", "accesspolicy/node");
  expect([await login("node", 0), await login("node", 1)]).toEqual([200, 200]);
  await world.hasCondition("CredentialsLoaded", "accesspolicy/ci", "accesspolicy/node");

  for (const [name, from] of [
    ["ci", since],
    ["node", later],
  ] as const) {
    const versions = await versionsSince(from, "AccessPolicy", name);
    const first = versions.findIndex((version) => said(version, "Ready") === "True");
    const loadedThen = versions.slice(first, first + 1).map((version) => said(version, "CredentialsLoaded"));
    const readySince = new Set(versions.slice(first).map((version) => said(version, "Ready")));
    expect([name, first > 0, ...loadedThen, ...readySince]).toEqual([name, true, "True", "True"]);
  }
});
