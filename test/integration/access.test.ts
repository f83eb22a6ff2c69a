// Who may do what, over HTTP: published AccessPolicies, users of the htpasswd Secret, the challenge, and answers that tell nothing.

import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { StorageUsage } from "../../src/api/control/contents.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { digestOf, pushImage, randomBlob } from "../conformance/content.ts";
import { send, type Reply } from "../support/http.ts";
import { adminToken, publishFirst, startTestRegistry, type TestRegistry } from "../support/registry.ts";

const basic = (name: string, password = `${name}-password`) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`,
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const nobody = {};

const policy = (name: string, spec: unknown) => ({ kind: "AccessPolicy" as const, name, spec });

const policies = [
  policy("builders", {
    subjects: [{ kind: "User", name: "ci" }],
    repositories: { include: ["team-a/**"] },
    actions: ["pull", "push"],
    protectedTags: "v\\d.*",
  }),
  policy("janitor", {
    subjects: [{ kind: "User", name: "janitor" }],
    repositories: { include: ["team-a/**"] },
    actions: ["pull", "delete"],
  }),
  policy("readers", { subjects: [{ kind: "Anonymous" }], repositories: { include: ["public/**"] }, actions: ["pull"] }),
  policy("mirror", { subjects: [{ kind: "User", name: "ci" }], repositories: { include: ["vendor/**"] }, actions: ["pull"] }),
  policy("other", { subjects: [{ kind: "User", name: "eve" }], repositories: { include: ["team-b/**"] }, actions: ["pull", "push"] }),
];

let registry: TestRegistry;
let url: string;
let client: ControlClient;

const ask = (method: string, path: string, headers: Record<string, string> = {}, body?: string | Uint8Array) =>
  send(url, method, path, { headers, ...(body === undefined ? {} : { body }) });

/** Without what differs by nature. */
const looks = ({ status, headers, body }: Reply) => {
  const { date: _, ...rest } = headers;
  return { status, headers: rest, body: body.toString() };
};

beforeAll(async () => {
  registry = await startTestRegistry({
    settings: {
      ...defaultSettings,
      access: { ...defaultSettings.access, admins: [{ kind: "User", name: "root" }], anonymousPull: "None" },
    },
  });
  url = registry.url;
  client = new ControlClient({ url, token: adminToken });
  // Before the first policy everything is open on loopback.
  await pushImage(url, "team-a/app", "v1");
  await pushImage(url, "team-a/app", "latest");
  await pushImage(url, "public/app", "latest");
  await pushImage(url, "team-b/app", "latest");
  const users = ["ci", "janitor", "eve", "root"].map((name) => `${name}:${hashSync(`${name}-password`, 4)}`);
  registry.secrets.set("default", "wharfinger-users", { htpasswd: `${users.join("\n")}\n` });
  const upstream = { prefix: "vendor", url: "https://registry.vendor.example", repositories: { include: ["**"], exclude: ["secret/**"] } };
  await publishFirst(url, [...policies, { kind: "Upstream", name: "vendor", spec: upstream }]);
});
afterAll(async () => {
  await client.close();
  await registry.stop();
});

describe("the challenge", () => {
  test.each([
    ["GET", "/v2/"],
    ["GET", "/v2/team-a/app/manifests/latest"],
    ["HEAD", "/v2/team-a/app/manifests/latest"],
    ["GET", "/v2/no/such/manifests/latest"],
    ["GET", `/v2/team-a/app/blobs/${digestOf("{}")}`],
    ["GET", "/v2/team-a/app/tags/list"],
    ["GET", `/v2/team-a/app/referrers/${digestOf("x")}`],
    ["POST", "/v2/team-a/app/blobs/uploads/"],
    ["POST", "/v2/public/app/blobs/uploads/"],
    ["DELETE", "/v2/team-a/app/manifests/latest"],
  ])("%s %s without credentials is 401 with a challenge", async (method, path) => {
    const reply = await ask(method, path);
    expect(reply.status).toBe(401);
    expect(reply.headers["www-authenticate"]).toMatch(new RegExp(`^Bearer realm="${url}/token",service="wharfinger"(?:,scope="[^"]+")?$`));
    expect(reply.headers["docker-distribution-api-version"]).toBe("registry/2.0");
    expect(method === "HEAD" || reply.code() === "UNAUTHORIZED").toBe(true);
  });

  test("wrong credentials are 401 even where none are needed", async () => {
    for (const path of ["/v2/", "/v2/public/app/manifests/latest"]) {
      expect((await ask("GET", path, basic("ci", "wrong"))).status).toBe(401);
      expect((await ask("GET", path, bearer("wrong"))).status).toBe(401);
    }
  });

  test("right ones are a login, and said so in the log", async () => {
    expect((await ask("GET", "/v2/", basic("ci"))).status).toBe(200);
    expect(registry.log.find(({ event }) => event === "login")).toMatchObject({ identity: "user:ci" });
  });
});

describe("rights", () => {
  test.each([
    ["ci pulls its own", "GET", "team-a/app/manifests/latest", basic("ci"), 200],
    ["ci pulls what is public", "GET", "public/app/manifests/latest", basic("ci"), 200],
    ["nobody pulls what is public", "GET", "public/app/manifests/latest", nobody, 200],
    ["podman without a login is nobody", "GET", "public/app/manifests/latest", basic("", ""), 200],
    ["ci pushes", "POST", "team-a/app/blobs/uploads/", basic("ci"), 202],
    ["ci pushes a new repository", "POST", "team-a/new/blobs/uploads/", basic("ci"), 202],
    ["ci does not push elsewhere", "POST", "team-b/app/blobs/uploads/", basic("ci"), 403],
    ["ci does not push what is public", "POST", "public/app/blobs/uploads/", basic("ci"), 403],
    ["ci does not delete", "DELETE", "team-a/app/manifests/latest", basic("ci"), 403],
    ["janitor does not push", "POST", "team-a/app/blobs/uploads/", basic("janitor"), 403],
    ["eve pulls nothing of ci", "GET", "team-a/app/manifests/latest", basic("eve"), 404],
    ["the admin token pulls", "GET", "team-b/app/manifests/latest", bearer(adminToken), 200],
    ["an admin of the control API is an ordinary user here", "GET", "team-b/app/manifests/latest", basic("root"), 404],
  ])("%s", async (_, method, path, headers, status) => {
    expect((await ask(method, `/v2/${path}`, headers)).status).toBe(status);
  });

  test.each(["manifests/latest", `manifests/${digestOf("x")}`, `blobs/${digestOf("{}")}`, "tags/list", `referrers/${digestOf("x")}`])(
    "%s of a hidden repository and of none look the same",
    async (what) => {
      const hidden = await ask("GET", `/v2/team-a/app/${what}`, basic("eve"));
      const missing = await ask("GET", `/v2/team-b/none/${what}`, basic("eve"));
      expect(looks(hidden)).toEqual(looks(missing));
      expect(looks(await ask("GET", `/v2/team-c/none/${what}`, basic("eve")))).toEqual(looks(missing));
    },
  );

  test.each(["vendor/app", "vendor/secret/app", "vendor"])(
    "whether %s is an upstream's shows to nobody who may not pull there",
    async (name) => {
      for (const [method, what] of [
        ["GET", "manifests/latest"],
        ["HEAD", "manifests/latest"],
        ["PUT", "manifests/latest"],
        ["DELETE", "manifests/latest"],
        ["GET", `blobs/${digestOf("{}")}`],
        ["DELETE", `blobs/${digestOf("{}")}`],
        ["GET", "tags/list"],
        ["GET", `referrers/${digestOf("x")}`],
        ["POST", "blobs/uploads/"],
        ["PATCH", "blobs/uploads/3f0d2b9c-5c2f-4ce1-9c8a-0d3d4f9d5b11"],
      ] as const) {
        for (const headers of [nobody, basic("eve")]) {
          const here = await ask(method, `/v2/${name}/${what}`, headers);
          const nowhere = await ask(method, `/v2/nowhere/${what}`, headers);
          // Of what was asked nothing is hidden.
          const challenge = nowhere.headers["www-authenticate"];
          if (challenge !== undefined)
            nowhere.headers["www-authenticate"] = challenge.replace("repository:nowhere:", `repository:${name}:`);
          expect([method, what, looks(here)]).toEqual([method, what, looks(nowhere)]);
        }
      }
    },
  );

  test("who may pull there hears what is not served, and that nothing can be pushed", async () => {
    expect((await ask("GET", "/v2/vendor/secret/app/manifests/latest", basic("ci"))).code()).toBe("NAME_UNKNOWN");
    expect((await ask("POST", "/v2/vendor/app/blobs/uploads/", basic("ci"))).code()).toBe("UNSUPPORTED");
  });

  test("a refused push looks the same whether the repository is there", async () => {
    const there = await ask("POST", "/v2/team-a/app/blobs/uploads/", basic("eve"));
    const missing = await ask("POST", "/v2/team-a/none/blobs/uploads/", basic("eve"));
    expect(looks(there)).toEqual(looks(missing));
    expect(there.code()).toBe("DENIED");
  });

  test("the catalog shows what the caller may pull", async () => {
    const listed = async (headers: Record<string, string>) => (await ask("GET", "/v2/_catalog", headers)).json();
    expect(await listed(nobody)).toEqual({ repositories: ["public/app"] });
    expect(await listed(basic("ci"))).toEqual({ repositories: ["public/app", "team-a/app"] });
    expect(await listed(basic("eve"))).toEqual({ repositories: ["public/app", "team-b/app"] });
    expect(await listed(bearer(adminToken))).toEqual({ repositories: ["public/app", "team-a/app", "team-b/app"] });
  });

  test("a mount needs pull on its source; else it is an upload", async () => {
    const secret = randomBlob(100);
    const digest = digestOf(secret);
    expect((await ask("POST", `/v2/team-a/app/blobs/uploads/?digest=${digest}`, basic("ci"), secret)).status).toBe(201);
    expect((await ask("POST", `/v2/team-b/app/blobs/uploads/?mount=${digest}&from=team-a/app`, basic("eve"))).status).toBe(202);
    expect((await ask("POST", `/v2/team-b/app/blobs/uploads/?mount=${digest}`, basic("eve"))).status).toBe(202);
    expect((await ask("HEAD", `/v2/team-b/app/blobs/${digest}`, basic("eve"))).status).toBe(404);
    expect((await ask("POST", `/v2/team-a/other/blobs/uploads/?mount=${digest}&from=team-a/app`, basic("ci"))).status).toBe(201);
  });

  test("a protected tag is created once and never moved or deleted by a client", async () => {
    const manifest = (await ask("GET", "/v2/team-a/app/manifests/v1", basic("ci"))).body;
    const type = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
    const other = Buffer.from(manifest.toString().replace("{", "{ "));
    expect((await ask("PUT", "/v2/team-a/app/manifests/v1", { ...basic("ci"), ...type }, manifest)).status).toBe(201);
    const moved = await ask("PUT", "/v2/team-a/app/manifests/v1", { ...basic("ci"), ...type }, other);
    expect([moved.status, moved.code()]).toEqual([403, "DENIED"]);
    for (const headers of [basic("janitor"), bearer(adminToken)]) {
      expect((await ask("DELETE", "/v2/team-a/app/manifests/v1", headers)).code()).toBe("DENIED");
      expect((await ask("DELETE", `/v2/team-a/app/manifests/${digestOf(manifest)}`, headers)).code()).toBe("DENIED");
    }
    expect((await ask("PUT", "/v2/team-a/app/manifests/v2", { ...basic("ci"), ...type }, other)).status).toBe(201);
    expect((await ask("DELETE", "/v2/team-a/app/manifests/latest", basic("janitor"))).status).toBe(202);
  });

  test("pushes, deletes and refusals are in the log with who and from where, passwords are not", () => {
    const events = registry.log.filter(({ event }) => event !== undefined);
    expect(events).toContainEqual(
      expect.objectContaining({ event: "push", identity: "user:ci", repository: "team-a/app", source: "127.0.0.1", tags: ["v2"] }),
    );
    expect(events).toContainEqual(expect.objectContaining({ event: "delete", identity: "user:janitor", reference: "latest" }));
    expect(events).toContainEqual(
      expect.objectContaining({ event: "refusal", identity: "user:eve", action: "push", repository: "team-a/app" }),
    );
    expect(events).toContainEqual(expect.objectContaining({ event: "login-refused", user: "ci" }));
    const text = JSON.stringify(registry.log);
    for (const secret of [adminToken, "ci-password", basic("ci").authorization.slice(6)]) expect(text).not.toContain(secret);
  });
});

describe("the control API", () => {
  const denied = { 401: "UNAUTHORIZED", 403: "DENIED" } as const;

  test.each([
    ["nobody", nobody, 401],
    ["a wrong token", bearer("x"), 401],
    ["a user", basic("ci"), 403],
  ] as const)("%s gets nowhere", async (_, headers, status) => {
    for (const [method, path] of [
      ["GET", "record"],
      ["PUT", "record"],
      ["GET", "resources"],
      ["POST", "runs"],
      ["GET", "runs?wait=60"],
      ["GET", "proposals?wait=60"],
      ["POST", "retention/default/x/apply"],
      ["POST", "restore"],
      ["POST", "audit"],
      ["GET", "activity"],
      ["GET", "gc"],
      ["GET", "usage"],
    ] as const) {
      const reply = await ask(method, `/api/v1/${path}`, headers);
      expect([path, reply.status, reply.code()]).toEqual([path, status, denied[status]]);
      expect(reply.headers["www-authenticate"] === undefined).toBe(status === 403);
    }
  });

  test("the token and named users are administrators", async () => {
    for (const headers of [bearer(adminToken), basic("root")]) {
      const reply = await ask("GET", "/api/v1/record", headers);
      expect([reply.status, reply.json()]).toMatchObject([200, { revision: "r1" }]);
    }
  });

  test("bodies that are wrong are refused in our form, with the field", async () => {
    const put = (body: string, headers: Record<string, string> = { "content-type": "application/json" }) =>
      ask("PUT", "/api/v1/record", { ...bearer(adminToken), ...headers }, body);
    const missing = await put('{"revision": "r2", "base": 5}');
    expect([missing.status, missing.code()]).toEqual([400, "INVALID"]);
    expect(missing.body.toString()).toContain("must have required property 'resources'");
    for (const body of ["{", "", "null", "[]", '{"__proto__": {"x": 1}}']) expect([body, (await put(body)).status]).toEqual([body, 400]);
    expect((await put("x", { "content-type": "text/plain" })).status).toBe(415);
    const large = await ask(
      "POST",
      "/api/v1/runs",
      { ...bearer(adminToken), "content-type": "application/json" },
      JSON.stringify({ x: "x".repeat(2_000_000) }),
    );
    expect([large.status, large.code()]).toEqual([413, "INVALID"]);
  });

  test("a base that is not published is a conflict", async () => {
    await expect(client.publish({ revision: "r2", base: "r0", resources: [], ledgers: {}, settled: [] })).rejects.toMatchObject({
      code: "Conflict",
      status: 409,
    });
  });

  test("a long poll is held back, and ends when the client goes or the time is over", async () => {
    await expect(client.waitingProposals({ waitSeconds: 1 })).resolves.toEqual([]);
    await expect(client.waitingProposals({ waitSeconds: 60, signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
      code: "Unreachable",
    });
  });

  test("the history names who pushed, deleted and published", async () => {
    const entries = await client.activity();
    expect(entries).toContainEqual(
      expect.objectContaining({ identity: "user:ci", action: "push", repository: "team-a/app", reference: "v2" }),
    );
    expect(entries).toContainEqual(expect.objectContaining({ identity: "user:janitor", action: "delete", reference: "latest" }));
    expect(entries).toContainEqual(expect.objectContaining({ identity: "admin", action: "publish", reference: "r1" }));
  });

  test("repositories are listed as far as the caller may pull", async () => {
    const names = async (headers: Record<string, string>) =>
      ((await ask("GET", "/api/v1/repositories", headers)).json() as { name: string }[]).map(({ name }) => name);
    expect(await names(basic("janitor"))).toEqual(["public/app", "team-a/app", "team-a/other"]);
    expect(await names(basic("eve"))).toEqual(["public/app", "team-b/app"]);
    expect(await names(basic("root"))).toEqual(["public/app", "team-a/app", "team-a/other", "team-b/app"]);
  });

  test("what is stored is counted once, what repositories name as often as they do", async () => {
    const usage = (await ask("GET", "/api/v1/usage", bearer(adminToken))).json() as StorageUsage;
    // The secret, in two repositories; a config of 2 bytes, in three, pushed to four and stored once.
    expect(usage).toEqual({ stored: 102, named: 206, unreferenced: 100, doomed: 6 });
  });

  test("an audit streams its progress and ends with the report", async () => {
    const lines = [];
    for await (const line of client.audit({ deep: true })) lines.push(line);
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.at(-1)).toMatchObject({ report: { deep: true, findings: [] } });
  });

  test("versions of what may not be seen and of what has none read the same", async () => {
    const one = await ask("GET", "/api/v1/versions/team-a/app", basic("eve"));
    const other = await ask("GET", "/api/v1/versions/team-c/app", basic("eve"));
    expect([one.status, one.code()]).toEqual([404, "NOT_FOUND"]);
    expect(one.body.toString().replace("team-a", "team-c")).toBe(other.body.toString());
    expect((await ask("GET", "/api/v1/versions/Bad%2fname", basic("eve"))).code()).toBe("INVALID");
  });
});

describe("probes", () => {
  test("need no credentials, and say why to an administrator", async () => {
    expect((await ask("GET", "/livez")).json()).toEqual({ live: true });
    for (const headers of [nobody, basic("ci")]) {
      const ready = await ask("GET", "/readyz", headers);
      expect([ready.status, ready.json()]).toEqual([200, { ready: true }]);
    }
    for (const headers of [bearer(adminToken), basic("root")]) {
      const ready = await ask("GET", "/readyz", headers);
      expect([ready.status, ready.json()]).toMatchObject([
        200,
        {
          ready: true,
          checks: [
            { name: "database" },
            { name: "blobs" },
            { name: "record", message: "serves r1" },
            { name: "collector" },
            { name: "process" },
          ],
        },
      ]);
    }
  });

  test("metrics have the names that dashboards know", async () => {
    const text = (await ask("GET", "/metrics", bearer(adminToken))).body.toString();
    expect(text).toContain('registry_http_requests_total{handler="manifest",method="GET",code="200"}');
    expect(text).toContain('wharfinger_build_info{version="0.0.0-test",revision="r1"} 1');
    expect(text).not.toContain("team-a");
  });

  test("metrics are for administrators, also on loopback once there was a policy", async () => {
    for (const headers of [nobody, basic("ci")]) {
      const reply = await ask("GET", "/metrics", headers);
      expect([reply.status, reply.code()]).toEqual([401, "UNAUTHORIZED"]);
    }
    expect((await ask("GET", "/metrics", basic("root"))).status).toBe(200);
  });

  test.each([
    ["a developer's machine", [], 200],
    ["behind a proxy, which a named host tells", ["registry.example"], 401],
  ] as const)("metrics without a token: %s", async (_, hosts, status) => {
    const fresh = await startTestRegistry({ settings: { ...defaultSettings, access: { ...defaultSettings.access, hosts } } });
    expect((await send(fresh.url, "GET", "/metrics")).status).toBe(status);
    await fresh.stop();
  });
});

test("removing the last policy does not reopen the registry", async () => {
  await client.publish({ revision: "r3", base: "r1", resources: [], ledgers: {}, settled: [] });
  expect((await ask("GET", "/v2/public/app/manifests/latest")).status).toBe(401);
  expect((await ask("POST", "/v2/team-a/app/blobs/uploads/", basic("ci"))).status).toBe(403);
});

test("a policy about users challenges before their Secret is there: a wrong login must not look like a right one", async () => {
  const bare = await startTestRegistry();
  try {
    expect((await send(bare.url, "GET", "/v2/", {})).status).toBe(200); // open, until the first policy
    await publishFirst(bare.url, policies);
    expect((await send(bare.url, "GET", "/v2/", {})).status).toBe(401);
    expect((await send(bare.url, "GET", "/v2/", { headers: basic("ci") })).status).toBe(401);
  } finally {
    await bare.stop();
  }
});
