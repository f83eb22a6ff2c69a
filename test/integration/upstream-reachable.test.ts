// An Upstream from which nobody pulls: what its Reachable says, by the control plane as standalone mode and a cluster run it.

import { afterAll, beforeAll, expect, test } from "vitest";

import { ClientError } from "../../src/client/errors.ts";
import { World } from "../support/control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { ScriptedUpstream } from "../support/scripted-upstream.ts";

const login = { username: "robot", password: "right" };

let world: World;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  world = await World.create();
  upstream = await ScriptedUpstream.start({ challenge: "bearer", login });
  await world.start();
});
afterAll(async () => {
  await world?.close();
  await upstream?.stop();
});

const cgr = "Upstream/default/cgr";
const document = (url: string, { fields = "", asked = "" } = {}) =>
  `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: cgr${asked === "" ? "" : `, annotations: {wharfinger.dev/requestedAt: "${asked}"}`}}\n` +
  `spec: {url: "${url}", insecure: true, prefix: cgr, auth: {secretRef: {name: pull}}${fields}}\n`;
function secret(password: string): void {
  const data = { ...login, password };
  world.registry.secrets.set("default", "pull", data);
  world.write("secret.yaml", `apiVersion: v1\nkind: Secret\nmetadata: {name: pull}\nstringData: ${JSON.stringify(data)}\n`);
}
const says = (expected: object) => eventually(() => expect(world.condition(cgr, "Reachable")).toMatchObject(expected));
const probes = () => upstream.asked("/token").length;

test("it is asked when it is new, and when its Secret or its spec changes", async () => {
  secret("wrong");
  world.write("cgr.yaml", document(upstream.url));
  await says({
    status: "False",
    reason: "AuthenticationFailed",
    message: expect.stringContaining("put a login into the Secret") as string,
  });
  expect(world.condition(cgr, "Ready")).toMatchObject({ status: "True" });
  secret("right");
  await says({ status: "True", message: "upstream answers" });
  world.write("cgr.yaml", document("http://127.0.0.1:9"));
  await says({ status: "False", reason: "Unreachable", message: expect.stringContaining("127.0.0.1:9 cannot be reached") as string });
  world.write("cgr.yaml", document(upstream.url));
  await says({ status: "True" });
});

test("a request is done when upstream was asked", async () => {
  const before = probes();
  world.write("cgr.yaml", document(upstream.url, { asked: "now" }));
  await eventually(() => expect(world.view(cgr).status.details).toMatchObject({ lastHandledReconcileAt: "now" }));
  expect(probes()).toBe(before + 1);
});

test("a request that comes while the registry is away is done when upstream was asked, not before", async () => {
  secret("right");
  let away = false;
  const registry = new Proxy(world.operator, {
    get: (target, name) => {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== "function") return found;
      return (...args: unknown[]) =>
        away ? Promise.reject(new ClientError("Unreachable", "No answer from the registry")) : (found.apply(target, args) as unknown);
    },
  });
  world.write("cgr.yaml", document(upstream.url));
  await world.stop();
  await world.start({ client: registry });
  await says({ status: "True" });
  away = true;
  const before = probes();
  world.write("cgr.yaml", document(upstream.url, { asked: "while it was away" }));
  world.upstream("meanwhile", "  offline: true\n");
  const handled = { lastHandledReconcileAt: "while it was away" };
  // A round has seen both, and could not publish.
  await eventually(() => expect(world.condition("Upstream/default/meanwhile", "Recorded")).toMatchObject({ status: "True" }));
  expect(world.view(cgr).status.details).not.toMatchObject(handled);
  expect(probes()).toBe(before);
  away = false;
  await eventually(() => expect(world.view(cgr).status.details).toMatchObject(handled));
  expect(probes()).toBe(before + 1);
  world.remove("meanwhile.yaml");
});

test("one that is offline is not asked, and a request is done all the same", async () => {
  const before = upstream.seen.length;
  world.write("cgr.yaml", document(upstream.url, { asked: "again", fields: ", offline: true" }));
  await eventually(() => expect(world.view(cgr).status.details).toMatchObject({ lastHandledReconcileAt: "again" }));
  await says({ status: "Unknown", reason: "NotAsked", message: "offline: serves what is cached and asks nothing" });
  expect(upstream.seen).toHaveLength(before);
});

test("the next control plane adopts what the registry knows, and asks nothing", async () => {
  world.write("cgr.yaml", document(upstream.url));
  await says({ status: "True" });
  const before = upstream.seen.length;
  await world.stop();
  await world.start();
  await says({ status: "True" });
  // Whoever would ask has asked by the round after that.
  world.upstream("later", "  offline: true\n");
  await eventually(() => expect(world.condition("Upstream/default/later", "Ready")).toMatchObject({ status: "True" }));
  expect(upstream.seen).toHaveLength(before);
});
