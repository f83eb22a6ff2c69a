// Two releases in one cluster: neither needs the other, and uninstalling leaves what docs/guides/install.md says, looked for among all objects that there
// are.

import { afterAll, beforeAll, expect, test } from "vitest";

import { answerTo, eventually } from "../support/eventually.ts";
import { pushShell } from "../support/node/images.ts";
import { clusterOf } from "../support/node/cluster.ts";
import type { NodeAccess } from "../support/node/node.ts";
import { prepareProduction, publicUpstream, type Production } from "../support/node/production.ts";
import { createRelease, type Release } from "../support/node/release.ts";
import { sharedNode, sharedProduct } from "../support/node/shared-node.ts";
import { makeVolumes } from "../support/node/volumes.ts";
import { use } from "../support/programs.ts";

let node: NodeAccess;
let first: Production;
/** For trying, beside it. */
let second: Release;
let before: readonly string[];

beforeAll(async () => {
  node = await sharedNode();
  first = await prepareProduction(clusterOf(node, sharedProduct()), "first");
  second = await createRelease(node, "second");
  await second.secret("upstream-authority", { "ca.crt": first.surroundings.authority });
  // Two of them are the trial's: images, and the record.
  await makeVolumes(node, 2);
  await pushShell(`${first.surroundings.upstream.host}/tools/shell:latest`, "first");
  before = await answerTo(
    "the definitions of tests before this one are gone",
    async () => {
      const found = await objects();
      return found.some((object) => definitions.includes(object)) ? undefined : found;
    },
    { seconds: 60 },
  );
});
afterAll(async () => {
  await second?.remove();
  await first?.remove();
  await node?.api.kubectl(["delete", "persistentvolumes", "--all", "--wait=false"]);
});

/** `Kind namespace/name` of everything that an administrator can list. Of Jobs the part of their names that is chance is left out. */
async function objects(): Promise<readonly string[]> {
  const kinds = (await first.kubectl("api-resources", "--verbs=list", "--output=name")).split("\n").filter((kind) => !passing.test(kind));
  const form = '{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}';
  const all = await first.kubectl("get", kinds.join(","), "--all-namespaces", `--output=jsonpath=${form}`);
  return all.split("\n").map((line) => line.replace(/^(Job|Pod) (.*\/cleanup-).*/, "$1 $2*"));
}

/** What is told of others and goes after an hour, and a Service's address by its number. */
const passing = /^(events|ipaddresses)(\.|$)/;

/** What there is now and was not when nothing was installed; nothing of the two namespaces that was there is missing. */
async function added(): Promise<readonly string[]> {
  const now = await objects();
  expect(before.filter((object) => / (first|second)\//.test(object) && !now.includes(object))).toEqual([]);
  return [...new Set(now)].filter((object) => !before.includes(object)).sort();
}

/** Of the cluster, whoever installed first. */
const definitions = [
  "APIService /v1alpha1.wharfinger.dev",
  ...["accesspolicies", "retentionpolicies", "tagpolicies", "upstreams"].map((kind) => `CustomResourceDefinition /${kind}.wharfinger.dev`),
];
/** That people applied, and that the operator wrote. */
const resources = (namespace: string) => [`AccessPolicy ${namespace}/tools`, `Upstream ${namespace}/tools`];
const operators = (namespace: string) => [
  `ConfigMap ${namespace}/wharfinger`,
  `Lease ${namespace}/wharfinger`,
  `Secret ${namespace}/wharfinger-credentials`,
];

const ofSecond = (object: string) => object.includes(" second/");

const digest = async (release: Release) => use("crane", ["digest", `${await release.address()}/up/tools/shell:latest`, "--insecure"]);

test("a second release in another namespace serves beside the first", async () => {
  await first.install(first.values);
  const small = { resources: { requests: { cpu: "10m", memory: "64Mi" } } };
  await second.install({
    profile: "embedded",
    crds: { enabled: false },
    image: sharedProduct(),
    registry: small,
    operator: small,
    settings: { egress: { allowedCIDRs: [`${node.addresses.machine}/32`] } },
  });
  for (const release of [first, second]) {
    await release.apply(publicUpstream(first));
    await release.hasCondition("Ready", "upstream/tools");
    await release.hasCondition("CredentialsLoaded", "upstream/tools");
  }
  await eventually(async () => expect(await digest(first)).toBe(await digest(second)), 60);
});

test("uninstalled, the first leaves what the guide says, and the second serves on", async () => {
  await first.apply(`
apiVersion: wharfinger.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: cleanup}
spec: {repositories: {include: ["team/**"]}, action: Plan, keep: [{name: newest, mostRecentlyPushed: 1}], schedule: "0 3 1 1 *"}
`);
  await first.hasCondition("Ready", "retentionpolicy/cleanup");
  await first.reconcile("retentionpolicy/cleanup");
  await first.helm("test", "wharfinger");
  await first.helm("uninstall", "wharfinger", "--wait");
  const stays = ["Job first/cleanup-*", "Pod first/cleanup-*", "RetentionPolicy first/cleanup"];
  const expected = [...definitions, ...resources("first"), ...operators("first"), ...stays].sort();
  await eventually(async () => expect((await added()).filter((object) => !ofSecond(object))).toEqual(expected), 120);
  expect(await digest(second)).toMatch(/^sha256:/);
  await second.hasCondition("Ready", "upstream/tools");
});

test("uninstalled, the second leaves its volumes, too", async () => {
  await second.helm("uninstall", "wharfinger", "--wait");
  const stays = ["PersistentVolumeClaim second/wharfinger-data", "PersistentVolumeClaim second/wharfinger-record"];
  const expected = [...resources("second"), ...operators("second"), ...stays].sort();
  await eventually(async () => expect((await added()).filter(ofSecond)).toEqual(expected), 120);
});

test("installed again with the same values, it goes on where it was", async () => {
  const expected = await use("crane", ["digest", `${first.surroundings.upstream.host}/tools/shell:latest`, "--insecure"]);
  await first.install(first.values);
  await eventually(async () => expect(await digest(first)).toBe(expected), 60);
});
