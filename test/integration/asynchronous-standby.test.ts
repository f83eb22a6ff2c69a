// What docs/guides/postgresql.md says can be lost is lost: a standby without which the primary acknowledged a push is promoted. And what then holds.

import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { AdoptReport, AuditReport } from "../../src/api/control/audit.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { eventually } from "../support/eventually.ts";
import { send } from "../support/http.ts";
import { describe as described, imageOf } from "../support/own-registry.ts";
import { startPostgresHop, type PostgresHop } from "../support/postgres-hop.ts";
import { startPostgresServer, type PostgresServer } from "../support/postgres-server.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";

const pods: TestRegistry[] = [];
let s3: S3Service;
let primary: PostgresServer;
let standby: PostgresServer;
let address: PostgresHop;

beforeAll(async () => {
  [primary, s3] = await Promise.all([startPostgresServer(), startS3Service()]);
  await primary.run("CREATE DATABASE registry");
  standby = await primary.standby("follower");
  address = await startPostgresHop(primary.port);
  for (const pod of ["one", "two"]) {
    pods.push(await startTestRegistry({ pod, blobs: { s3: s3.settings }, database: { url: address.url("registry") } }));
  }
});
afterAll(async () => {
  for (const registry of pods) await registry.stop().catch(() => undefined);
  await address?.stop();
  await standby?.stop();
  await primary?.stop();
  await s3?.stop();
});

const config = Buffer.from("{}");
interface Image {
  readonly tag: string;
  readonly layer: Buffer;
  readonly manifest: Buffer;
}
function image(tag: string): Image {
  const layer = randomBytes(64);
  const layers = [described("application/vnd.oci.image.layer.v1.tar", layer)];
  return { tag, layer, manifest: imageOf(described("application/vnd.oci.image.config.v1+json", config), layers) };
}
const at = ({ url }: TestRegistry, method: string, path: string, sent: { body?: Buffer; headers?: Record<string, string> } = {}) =>
  send(url, method, `/v2/team/app/${path}`, sent);
async function push(pod: TestRegistry, { tag, layer, manifest }: Image): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (const body of [config, layer]) statuses.push((await at(pod, "POST", `blobs/uploads/?digest=${digestOf(body)}`, { body })).status);
  const headers = { "content-type": mediaTypes.ociManifest };
  return [...statuses, (await at(pod, "PUT", `manifests/${tag}`, { body: manifest, headers })).status];
}
/** By tag, by digest, and the layer. */
const pull = (pod: TestRegistry, { tag, layer, manifest }: Image) =>
  Promise.all(
    [`manifests/${tag}`, `manifests/${digestOf(manifest)}`, `blobs/${digestOf(layer)}`].map(
      async (path) => (await at(pod, "GET", path)).status,
    ),
  );
const all = (status: number) => [status, status, status];

test("a push that only the primary had is gone with it: nobody serves it, its bytes are named, and pushed again it is there", async () => {
  const [one, two] = pods as [TestRegistry, TestRegistry];
  const [kept, lost] = [image("kept"), image("lost")];
  expect(await push(one, kept)).toEqual(all(201));
  await eventually(async () => {
    const arrived = await standby.run("SELECT FROM tags WHERE name = 'kept'", { database: "registry" });
    expect(arrived).toHaveLength(1);
  });
  await standby.stopFollowing();
  expect(await push(one, lost)).toEqual(all(201));
  for (const pod of pods) expect(await pull(pod, lost)).toEqual(all(200));

  await primary.signal("SIGKILL");
  await standby.promote();
  address.lead(standby.port);
  // Both have it in memory still.
  for (const pod of pods) await eventually(async () => expect(await pull(pod, lost)).toEqual(all(404)));
  for (const pod of pods) expect(await pull(pod, kept)).toEqual(all(200));

  const control = new ControlClient({ url: one.url, token: adminToken });
  let audited: AuditReport | undefined;
  for await (const line of control.audit({ deep: false, repair: true })) if ("report" in line) audited = line.report;
  // The layer, and the config, which came a second time.
  const unknown = (size: number) => ({
    invariant: 4,
    subject: expect.any(String) as string,
    message: `is in the store (whole, size ${size}), and the database does not know it; not deleted: it is younger than 7 days`,
  });
  expect(audited?.findings.toSorted((a, b) => a.message.localeCompare(b.message))).toEqual([unknown(2), unknown(64)]);
  let adopted: AdoptReport | undefined;
  for await (const line of control.adopt()) if ("report" in line) adopted = line.report;
  expect(adopted).toMatchObject({ lost: [], forgotten: [], adopted: [], unknown: { objects: 2, bytes: 66 } });
  await control.close();

  expect(await push(two, lost)).toEqual(all(201));
  for (const pod of pods) expect(await pull(pod, lost)).toEqual(all(200));
  const { body } = await at(one, "GET", `blobs/${digestOf(lost.layer)}`);
  expect(digestOf(body)).toBe<Digest>(digestOf(lost.layer));
});
