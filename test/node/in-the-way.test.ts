// An installation that cannot serve yet: log, probes and events of its Pods say in words what is in the way, one thing after the other, and it goes on
// when that is mended. `helm install --wait` waits all the while.

import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { connectS3 } from "../../src/registry/blobs/s3-client.ts";
import { eventually } from "../support/eventually.ts";
import { sharedCluster } from "../support/node/cluster.ts";
import { prepareProduction, publicUpstream, type Production } from "../support/node/production.ts";
import { bucketOf } from "../support/registry-process.ts";

let release: Production;
/** The right ones. */
let keys: Readonly<Record<string, string>>;
const bucket = "later";

beforeAll(async () => {
  release = await prepareProduction(await sharedCluster(), "wharfinger-waits");
  const { accessKeyId, secretAccessKey } = release.surroundings.s3.settings.credentials;
  keys = { "access-key-id": accessKeyId, "secret-access-key": secretAccessKey };
});
afterAll(() => release?.remove());

/** Port of probes by component. */
const ports = { registry: 5002, operator: 8081 } as const;

/** Waits until the one Pod of a component says this in its log, at `/readyz`, and as an event. */
async function says(component: keyof typeof ports, reason: string, words: RegExp): Promise<void> {
  await eventually(async () => {
    const selector = `app.kubernetes.io/component=${component}`;
    const pod = await release.kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}");
    expect(await release.kubectl("logs", pod)).toContain(`"reason":"${reason}"`);
    // From within: not every network lets others in there.
    const question = `process.stdout.write(await (await fetch("http://localhost:${ports[component]}/readyz")).text())`;
    expect(await release.kubectl("exec", pod, "--", "node", "--input-type=module", "--eval", question)).toMatch(words);
    const told = '{range .items[*]}{.reason}: {.message}{"\\n"}{end}';
    const events = await release.kubectl("get", "events", `--field-selector=involvedObject.name=${pod}`, "-o", `jsonpath=${told}`);
    expect(events.split("\n").filter((line) => line.startsWith(`${reason}: `) && words.test(line))).not.toEqual([]);
  }, 90);
}

test("database and bucket: wrong, missing, of another installation; in the end `helm install --wait` is content", async () => {
  const { s3, authority } = release.surroundings;
  const root = await connectS3({ ...s3.settings, bucket });
  onTestFinished(() => root.client.destroy());
  const password = await release.kubectl("get", "secret/database", "-o", "jsonpath={.data.password}");
  await release.secret("database", { password: "wrong", "ca.crt": authority });
  const installing = release.install({
    ...release.values,
    components: ["registry", "operator"],
    registry: { ...(release.values["registry"] as object), replicas: 1 },
    operator: { ...(release.values["operator"] as object), replicas: 1 },
    settings: { ...(release.values["settings"] as object), storage: { s3: { ...bucketOf(s3.settings), bucket } } },
  });
  installing.catch(() => undefined);

  await says("registry", "DatabaseLoginRefused", /refuses the password/);
  await release.secret("database", { password: Buffer.from(password, "base64").toString(), "ca.crt": authority });
  await says("registry", "BucketMissing", /The bucket later does not exist/);
  await release.secret("bucket", { ...keys, "access-key-id": "nobody" });
  await says("registry", "BucketKeyRefused", /nobody there has this access key/);
  await root.client.send(new root.sdk.CreateBucketCommand({ Bucket: bucket }));
  const marker = { Bucket: bucket, Key: "marker/5b0ea6a1-8d9c-4b5a-9f0e-0c6b1f6f0a11/000000000007" };
  await root.client.send(new root.sdk.PutObjectCommand({ ...marker, Body: "{}" }));
  await release.secret("bucket", keys);
  await says("registry", "StoreOfAnotherInstallation", /belongs to the installation 5b0ea6a1/);
  await root.client.send(new root.sdk.DeleteObjectCommand(marker));

  expect(await installing).toBeUndefined();
});

test("the Git remote: missing, its password wrong; what was applied meanwhile is served when it is mended", async () => {
  const { git } = release.surroundings;
  release.record.delete();
  await release.apply(publicUpstream(release));
  await says("operator", "RemoteUnavailable", /the repository is not there, or is hidden from the user of Secret \S+\/record /);
  await release.secret("record", { ...git.secret, password: "wrong" });
  await says(
    "operator",
    "RemoteRefused",
    /the credentials were refused: put a username and a password \(a token\) that count there into Secret \S+\/record /,
  );
  release.record.create();
  await release.secret("record", git.secret);
  await release.hasCondition("Ready", "upstream/tools");
  await eventually(async () => expect(await release.kubectl("get", "events")).toContain("The record is followed and written again."), 60);
});
