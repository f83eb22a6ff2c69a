// The program through a kubeconfig: whom it finds and asks, with which rights, and what it says when it cannot. What people ask for with it:
// command-line-requests.test.ts.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createServer as createTlsServer } from "node:tls";

import { afterAll, beforeAll, expect, test } from "vitest";

import { openClusterAccess } from "../../src/operator/kube/cluster-access.ts";
import { connectToPod } from "../../src/operator/kube/port-forward.ts";
import { createCertificates } from "../support/certificates.ts";
import { audience, CommandLineWorld, labels } from "../support/command-line-world.ts";
import { eventually } from "../support/eventually.ts";
import { serviceAccountIssuer } from "../support/kubernetes.ts";
import { processToken } from "../support/serving-process.ts";

let cli: CommandLineWorld;
beforeAll(async () => {
  cli = await CommandLineWorld.open();
});
afterAll(() => cli?.close());

test("the registry is asked through the API server, as the account that the Role may be", async () => {
  const { code, stdout, stderr } = await cli.inHome("plan", "clean", "-o", "json", "--verbose");
  expect(stderr).toBe(
    `Asking the registry in namespace ${cli.namespace} of context test (Pod registry-0) as ServiceAccount ${cli.namespace}/wharfinger-admin, with a token for ${audience}.\n`,
  );
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { policy: `${cli.namespace}/clean`, action: "Plan" }]);
  expect(cli.node.forwarded.every((pod) => pod === `${cli.namespace}/registry-0`)).toBe(true);
});

test("get shows what the API server has, for whoever may read that alone", async () => {
  await cli.kubectl("-n", cli.namespace, "create", "role", "reader", "--verb=get,list", "--resource=upstreams.wharfinger.dev");
  await cli.kubectl("-n", cli.namespace, "create", "rolebinding", "reader", "--role=reader", "--user=rita");
  const asRita = { KUBECONFIG: await cli.api.user("rita") };
  const listed = await cli.wharfinger(["get", "upst", "-n", cli.namespace], asRita);
  expect(listed).toMatchObject({
    code: 0,
    stderr: "",
    stdout: expect.stringMatching(new RegExp(`^Upstream +${cli.namespace} +hub +True +Succeeded `, "m")),
  });
  const one = await cli.inHome("get", "upstream", "hub");
  expect(one.stdout).toMatch(/^CONDITION +STATUS[\s\S]*^Ready +True +Succeeded/m);
  const views = JSON.parse((await cli.inHome("get", "-o", "json")).stdout) as { kind: string; status: { revision: string } }[];
  expect(views.map(({ kind }) => kind)).toEqual(["Upstream", "RetentionPolicy"]);
  expect(views[0]?.status.revision).toMatch(/^[0-9a-f]{40}$/);

  const everywhere = await cli.wharfinger(["get", "upst", "-A"], asRita);
  expect(everywhere).toMatchObject({ code: 1, stdout: "" });
  expect(everywhere.stderr).toContain("`kubectl auth can-i list upstreams.wharfinger.dev --all-namespaces` says when you may.");
  expect(await cli.inHome("get", "upst", "gone")).toMatchObject({
    code: 1,
    stderr: `There is no Upstream ${cli.namespace}/gone. \`npx wharfinger get Upstream\` lists those there are.\n`,
  });
});

test("get says of a resource without a condition that no operator has looked at it", async () => {
  const { home, ask } = await cli.another();
  const upstream = { apiVersion: "wharfinger.dev/v1alpha1", kind: "Upstream", metadata: { name: "lost" } };
  const input = JSON.stringify({ ...upstream, spec: { url: "https://registry.test", prefix: "lost" } });
  expect(await cli.api.kubectl(["-n", home, "create", "-f", "-"], { input })).toMatchObject({ code: 0 });
  const [alone, whole] = [await ask("get", "upstream", "lost"), await ask("get", "-o", "json")];
  for (const { stderr } of [alone, whole])
    expect(stderr).toMatch(new RegExp(`^No operator has looked at Upstream ${home}/lost yet\\..* operator\\.namespaces`));
  expect((await cli.inHome("get")).stderr).toBe("");
});

test("what somebody may not do is named with the command that says when he may", async () => {
  const kubeconfig = await cli.api.user("nick");
  const ask = () => cli.wharfinger(["record", "status", "-n", cli.namespace], { KUBECONFIG: kubeconfig });
  const give = async (name: string, verbs: string, resource: string) => {
    await cli.kubectl("-n", cli.namespace, "create", "role", name, `--verb=${verbs}`, `--resource=${resource}`);
    await cli.kubectl("-n", cli.namespace, "create", "rolebinding", name, `--role=${name}`, "--user=nick");
  };
  const can = async (stderr: string) => {
    const [, words = ""] = /`kubectl (auth can-i [^`]+)` says when you may\. deploy\/cli\/administrator\.yaml has/.exec(stderr) ?? [];
    return (await cli.api.kubectl(words.split(" "), { kubeconfig })).stdout.trim();
  };
  for (const [name, verbs, resource, missing] of [
    ["nick-pods", "list", "pods", "list pods -n"],
    ["nick-token", "create", "serviceaccounts/token", "create serviceaccounts/wharfinger-admin --subresource=token -n"],
    ["nick-forward", "get,create", "pods/portforward", "create pods/registry-0 --subresource=portforward -n"],
  ] as const) {
    const { code, stderr } = await ask();
    expect(stderr).toContain(`\`kubectl auth can-i ${missing} ${cli.namespace}\``);
    expect([code, await can(stderr)]).toEqual([1, "no"]);
    await give(name, verbs, resource);
    await eventually(async () => expect(await can(stderr)).toBe("yes"));
  }
  const { code, stdout, stderr } = await ask();
  expect([code, stdout]).toEqual([0, expect.stringContaining("Published: ")]);
  expect(stderr).toMatch(
    /^Nothing is known of Git: configmaps "wharfinger" is forbidden: .* `kubectl auth can-i get configmaps\/wharfinger -n /,
  );
});

test("a cluster without a registry, with one that is not Ready, and with two", async () => {
  const { home, ask } = await cli.another();
  const complaint = async (...more: string[]) => {
    const { code, stderr } = await ask("record", "status", ...more);
    expect(code).toBe(1);
    return stderr;
  };
  expect(await complaint()).toMatch(
    /^There is no registry in namespace test-\w+ of context test: no Pod has the labels app.kubernetes.io\/name=wharfinger,/,
  );
  await cli.addPod(home, "ill", { ready: false });
  expect(await complaint()).toContain("is Ready: ill (the database does not answer).");
  await cli.addPod(home, "one", { labels: { ...labels, "app.kubernetes.io/instance": "one" }, annotations: {} });
  expect(await complaint()).toContain("they lack the annotation wharfinger.dev/audience");
  expect(await complaint("--pod-port", "http")).toContain(
    "Pod one has no port called http, only registry (5000), control (5001). Name the registry's with --pod-port.",
  );
  const wrong = { "wharfinger.dev/audience": serviceAccountIssuer };
  await cli.addPod(home, "two", { labels: { ...labels, "app.kubernetes.io/instance": "two" }, annotations: wrong });
  expect(await complaint()).toContain("(app.kubernetes.io/instance: one, two)");
  expect(await complaint("--pods", "app.kubernetes.io/instance=two")).toContain("which is no host");
  await cli.api.send("DELETE", `/api/v1/namespaces/${home}/serviceaccounts/wharfinger-admin`);
  const without = await complaint("--pods", "app.kubernetes.io/instance=two", "--audience", audience);
  expect(without).toContain(
    `\`kubectl -n ${home} apply -f deploy/cli/administrator.yaml\` makes it; or name another one with --service-account`,
  );
});

test("what the registry refuses says who asked, and what the settings lack", async () => {
  const { home, ask } = await cli.another();
  // In another namespace the same name is another account, which the registry does not know.
  await cli.addPod(home, "registry-0");
  const refused = await ask("gc", "status");
  expect(refused.stderr).toContain(
    `Asked as ServiceAccount ${home}/wharfinger-admin, with a token for ${audience}. For a ServiceAccount it takes`,
  );
  const strange = await cli.inHome("record", "status", "--audience", "other.example.com");
  expect(strange.stderr).toContain(
    `does not accept ServiceAccount ${cli.namespace}/wharfinger-admin, with a token for other.example.com: The token does not count`,
  );
  expect(strange.stderr).toContain("auth.issuers");
  const tokenFile = join(cli.folder, "given-token");
  await writeFile(tokenFile, await cli.api.serviceAccountToken(cli.namespace, "default", { audience }));
  const given = await cli.inHome("record", "status", "--token-file", tokenFile);
  expect(given.stderr).toBe(
    `This is for the operator, the ServiceAccount of the setting access.operator, and for administrators.\nAsked as the bearer of the token from ${tokenFile}. ` +
      "For a ServiceAccount it takes an entry in the registry's setting access.admins.\n",
  );
  await writeFile(tokenFile, processToken);
  expect(await cli.inHome("record", "status", "--token-file", tokenFile)).toMatchObject({ code: 0 });
});

test("a Pod whose port speaks TLS is spoken to in TLS", async () => {
  const { home, ask } = await cli.another();
  const { server: pair } = await createCertificates();
  const { port } = new URL(cli.world.registry.controlUrl);
  const ended = createTlsServer(
    { ...pair },
    (socket) => void pipeline(socket, connect(Number(port), "127.0.0.1"), socket).catch(() => undefined),
  );
  ended.listen(0, "127.0.0.1");
  await once(ended, "listening");
  cli.world.defer(async () => void ended.close());
  await cli.addPod(home, "secure", { ports: { 5000: (ended.address() as AddressInfo).port } });
  // That it is nobody's cli.administrator, it was told by the registry.
  expect((await ask("gc", "status")).stderr).toContain(`Asked as ServiceAccount ${home}/wharfinger-admin`);
});

test("a Pod that is gone is no matter while another one is there; one that goes in the middle is told of", async () => {
  const { home, ask } = await cli.another();
  const silent = createServer(() => cli.node.breakPod(home, "silent"));
  silent.listen(0, "127.0.0.1");
  await new Promise((listening) => silent.once("listening", listening));
  cli.world.defer(async () => void silent.close());
  await cli.addPod(home, "silent", { ports: { 5000: (silent.address() as AddressInfo).port } });
  const cut = await ask("record", "status");
  expect(cut).toMatchObject({ code: 1, stdout: "" });
  expect(cut.stderr).toContain(`The connection to the registry broke (Pod ${home}/silent of context test): `);
  const gone = await ask("record", "status");
  expect(gone.stderr).toContain("pod does not exist");

  await cli.addPod(cli.namespace, "a-broken-one");
  cli.node.breakPod(cli.namespace, "a-broken-one");
  expect(await cli.inHome("record", "status")).toMatchObject({ code: 0, stderr: "" });
  await cli.kubectl("-n", cli.namespace, "delete", "pod", "a-broken-one", "--wait=false");
});

test("a connection to a Pod carries both ways what it is given, and says why there is none", async () => {
  const echo = createServer((socket) => socket.pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  cli.world.defer(async () => void echo.close());
  const { home } = await cli.another();
  await cli.addPod(home, "echo", { ports: { 7: (echo.address() as AddressInfo).port, 8: 1 } });
  const access = await openClusterAccess({ KUBECONFIG: cli.api.kubeconfig });
  const connection = await connectToPod(access, { namespace: home, pod: "echo", port: 7 });
  const sent = randomBytes(4 * 1024 * 1024);
  const written = pipeline(Readable.from([sent.subarray(0, 1), sent.subarray(1)]), connection, { end: false });
  const back: Buffer[] = [];
  for (let length = 0; length < sent.length;) {
    const chunk = (connection.read() as Buffer | null) ?? undefined;
    if (chunk === undefined) await once(connection, "readable");
    else length += back.push(chunk) && chunk.length;
  }
  await written;
  expect(Buffer.concat(back).equals(sent)).toBe(true);
  connection.destroy();
  const nobody = await connectToPod(access, { namespace: home, pod: "echo", port: 8 });
  await expect(nobody.toArray()).rejects.toThrow(/error forwarding port 8 to pod .*ECONNREFUSED/);
  await expect(connectToPod(access, { namespace: home, pod: "none", port: 7 })).rejects.toMatchObject({ status: 404 });
});
