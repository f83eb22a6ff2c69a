import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";
import { stringify } from "yaml";

import { describeSettings, loadSettings, parseSettings, SettingsError } from "./load-settings.ts";
import { instead } from "./schema/fields.ts";
import { settingsReference } from "./settings-reference.ts";
import { settingsSchema } from "./settings-schema.ts";
import { defaultSettings } from "./settings.ts";

function problems(text: string): readonly string[] {
  try {
    parseSettings(text, "s.yaml");
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

test("without a file, and with an empty one, the defaults", async () => {
  expect(await loadSettings(undefined)).toBe(defaultSettings);
  expect(parseSettings("", "s.yaml")).toEqual(defaultSettings);
  expect(parseSettings("# nothing yet\n", "s.yaml")).toEqual(defaultSettings);
});

test("what the file says, over the defaults; durations and bytes in units", () => {
  const settings = parseSettings(
    'uploads: {expireAfter: 1s, stallTimeout: 24h}\ngc: {lease: 2s, trashFor: 0s, interval: 200ms}\nspool: {lowWaterBytes: 1Gi, maxBlobBytes: 1Mi}\nstorage: {lowWaterBytes: 7}\ntenants: [{namespace: team-a, repositories: ["team-a/**"]}]\n',
    "s.yaml",
  );
  expect(settings.gc).toEqual({ ...defaultSettings.gc, lease: 2000, trashFor: 0, interval: 200 });
  expect(settings.uploads).toEqual({ expireAfter: 1000, stallTimeout: 86_400_000 });
  expect(settings.spool).toEqual({ lowWaterBytes: 2 ** 30, maxBlobBytes: 2 ** 20 });
  expect(settings.storage.lowWaterBytes).toBe(7);
  expect(settings.tenants).toEqual([{ namespace: "team-a", repositories: ["team-a/**"], kinds: [], prefixes: [], hosts: [] }]);
  expect(settings.access).toEqual(defaultSettings.access);
});

test("a remote of the record, with its defaults", () => {
  const { record } = parseSettings("record: {remote: {url: ssh://git@h:22/r.git, secretRef: {name: git}, timeout: 5s}}\n", "s.yaml");
  const secretRef = { namespace: "default", name: "git" };
  expect(record.remote).toEqual({
    url: "ssh://git@h:22/r.git",
    branch: "wharfinger",
    folder: "",
    secretRef,
    interval: 30_000,
    timeout: 5_000,
  });
});

test("everything written out is read back as it was", () => {
  const changed = parseSettings("gc: {lease: 1h30m}\naccess: {admins: [{kind: User, name: ann}], anonymousPull: None}\n", "s.yaml");
  expect(parseSettings(stringify(describeSettings(changed)), "s.yaml")).toEqual(changed);
});

test.each([
  [
    "gc:\n  leese: 2s\n",
    ["s.yaml:2: gc.leese: unknown key; known here: lease, trashFor, doomDelay, interval, uploadAbandonedAfter, brake"],
  ],
  ["gc: {lease: 5}\n", ['s.yaml:1: gc.lease: not a duration above zero; write for example "24h", "90s" or "200ms"']],
  ["gc:\n  lease: 0s\n", ['s.yaml:2: gc.lease: not a duration above zero; write for example "24h", "90s" or "200ms"']],
  ["gc: {trashFor: soon}\n", ['s.yaml:1: gc.trashFor: not a duration; write for example "24h", "90s" or "200ms"']],
  ["uploads:\n  expireAfter: 999ms\n", ["s.yaml:2: uploads.expireAfter: must be at least 1s"]],
  [
    "uploads:\n  stallTimeout: 200ms\ngc:\n  uploadAbandonedAfter: 0.3s\n",
    ["s.yaml:2: uploads.stallTimeout: must be at least 1s", "s.yaml:4: gc.uploadAbandonedAfter: must be at least 1s"],
  ],
  ["uploads: {stallTimeout: 0s}\n", ["s.yaml:1: uploads.stallTimeout: must be at least 1s"]],
  ["uploads: {stallTimeout: 720h}\n", ["s.yaml:1: uploads.stallTimeout: must be at most 24h"]],
  ["uploads: {stallTimeout: 5}\n", ['s.yaml:1: uploads.stallTimeout: not a duration; write for example "24h", "90s" or "200ms"']],
  ["spool: {maxBlobBytes: 16}\n", ["s.yaml:1: spool.maxBlobBytes: must be at least 1Mi"]],
  ["spool: {maxBlobBytes: 512Ki}\n", ["s.yaml:1: spool.maxBlobBytes: must be at least 1Mi"]],
  ["spool: {lowWaterBytes: many}\n", ['s.yaml:1: spool.lowWaterBytes: not a number of bytes; write for example "512Mi" or 1000000']],
  [
    "egress:\n  allowedCIDRs:\n    - 10.0.0.0/8\n    - banana\n",
    ['s.yaml:4: egress.allowedCIDRs[1]: not a network; write for example "10.20.0.0/16"'],
  ],
  [
    "limits: {repositoryBytes: plenty}\n",
    ['s.yaml:1: limits.repositoryBytes: not a number of bytes; write for example "512Mi" or 1000000'],
  ],
  [
    "access: {trustedProxies: [proxy.example.com]}\n",
    ['s.yaml:1: access.trustedProxies[0]: not a network; write for example "10.20.0.0/16"'],
  ],
  [
    "externalURL: registry.example.com\n",
    ['s.yaml:1: externalURL: not an http:// or https:// URL without a password; write for example "https://host.example.com"'],
  ],
  ["access: {trustedProxies: [10.1/16]}\n", ['s.yaml:1: access.trustedProxies[0]: not a network; write for example "10.20.0.0/16"']],
  ["limits: {transfersPerIdentity: 0}\n", ["s.yaml:1: limits.transfersPerIdentity: must be >= 1"]],
  ...[
    "git@git.example.com:team/registry.git",
    "http://git.example.com/r.git",
    "https://me:secret@git.example.com/r.git",
    "ssh://git.example.com/r.git",
    "https://git.example.com",
    "ssh://-oProxyCommand=x@git.example.com/r.git",
    "https://git.example.com/r.git?x=1",
    "file:///srv/r.git",
    "ext::sh -c x",
  ].map((url): [string, string[]] => [
    `record:\n  remote:\n    url: "${url}"\n`,
    [
      's.yaml:3: record.remote.url: not the URL of a repository; write "https://git.example.com/team/registry.git" or "ssh://git@git.example.com/team/registry.git"; credentials are in the Secret',
    ],
  ]),
  ["record: {remote: {branch: main}}\n", ["s.yaml:1: record.remote: url is missing"]],
  [
    "record:\n  verify:\n    allowedSigners:\n      - jane@example.org ssh-ed25519\n",
    [
      "s.yaml:1: record: signing is missing; verify needs it",
      's.yaml:4: record.verify.allowedSigners[0]: no line of an ALLOWED SIGNERS file (man ssh-keygen); write for example "jane@example.org ssh-ed25519 AAAA…", without anything private',
    ],
  ],
  [
    "record: {signing: {secretRef: {name: x}}, verify: {allowedSigners: []}}\n",
    ["s.yaml:1: record.verify.allowedSigners: must NOT have fewer than 1 items"],
  ],
  ...["-x", "a..b", "a/.b", "x.lock", "a//b", "a/"].map((branch): [string, [unknown]] => [
    `record: {remote: {url: "https://h/r.git", branch: "${branch}"}}\n`,
    [expect.stringMatching(/^s\.yaml:1: record\.remote\.branch: not the name of a branch; write for example/)],
  ]),
  ...["../up", "/abs", "a/../b", ".git", "a//b", "a/"].map((folder): [string, [unknown]] => [
    `record: {remote: {url: "https://h/r.git", folder: "${folder}"}}\n`,
    [expect.stringMatching(/^s\.yaml:1: record\.remote\.folder: not a folder of the repository; write for example/)],
  ]),
  ['record: {remote: {url: "https://h/r.git", interval: 10ms}}\n', ["s.yaml:1: record.remote.interval: must be at least 1s"]],
  ["limits: {uploads: 0}\n", ["s.yaml:1: limits.uploads: must be >= 1"]],
  ["limits: {uploadsPerIdentity: many}\n", ["s.yaml:1: limits.uploadsPerIdentity: must be integer"]],
  [
    "limits:\n  overrides:\n    - repositories: [team-a/**]\n    - {repositories: [], repositoryBytes: 1Gi}\n    - {repositories: [Team], repositoryBytes: -1}\n",
    [
      "s.yaml:3: limits.overrides[0]: repositoryBytes is missing",
      "s.yaml:4: limits.overrides[1].repositories: must NOT have fewer than 1 items",
      's.yaml:5: limits.overrides[2].repositories[0]: not a glob of repositories; write for example "team-a/**" (lower case, * within a segment, ** for any number of them)',
      "s.yaml:5: limits.overrides[2].repositoryBytes: must be >= 0",
    ],
  ],
  [
    "allowMissingBlobs: [a//b]\n",
    [
      's.yaml:1: allowMissingBlobs[0]: not a glob of repositories; write for example "team-a/**" (lower case, * within a segment, ** for any number of them)',
    ],
  ],
  ["access: {anonymousPull: Some}\n", ["s.yaml:1: access.anonymousPull: must be one of None, PublicUpstreams, All"]],
  [
    "tenants:\n- kinds: [Foo]\n",
    [
      "s.yaml:2: tenants[0]: namespace is missing",
      "s.yaml:2: tenants[0].kinds[0]: must be one of Upstream, TagPolicy, RetentionPolicy, AccessPolicy",
    ],
  ],
  ["- a\n", ["s.yaml:1: must be object"]],
  ["gc: {lease: 1h}\ngc: {lease: 2h}\n", ["s.yaml:2: Map keys must be unique"]],
  ["a: &x 1\nb: *x\n", ["s.yaml: anchors and aliases are not read here; write the value out"]],
])("refused: %j", (text, expected) => {
  expect(problems(text)).toEqual(expected);
});

interface Node {
  readonly pattern?: string;
  readonly [instead]?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
}

/** Of each pattern in the schema: where it is, and settings that do not match it. */
function* patterns(
  node: Node,
  path = "",
  wrap: (value: unknown) => unknown = (value) => value,
): Generator<readonly [string, Node, unknown]> {
  if (node.pattern !== undefined) yield [path, node, wrap("Not/ this!")];
  if (node.items !== undefined) yield* patterns(node.items, `${path}[0]`, (value) => wrap([value]));
  for (const [key, child] of Object.entries(node.properties ?? {}))
    yield* patterns(child, path === "" ? key : `${path}.${key}`, (value) => wrap({ [key]: value }));
}
const found = [...patterns(settingsSchema)];

test("patterns are found", () => {
  const paths = found.map(([path]) => path);
  expect(paths).toEqual(expect.arrayContaining(["storage.s3.bucket", "auth.issuers[0].name", "retention.scanners.userAgents[0]"]));
});

test.each(found)("who writes %s wrongly reads what to write, and no expression", (path, node, settings) => {
  const said = problems(stringify(settings));
  expect(node[instead]).toMatch(/^not .*; write /);
  expect(said.some((problem) => problem.endsWith(`: ${path}: ${node[instead]}`))).toBe(true);
  expect(said.join()).not.toContain("pattern");
});

test("who is what: clusters, their keys and accounts", () => {
  const settings = parseSettings(
    `externalURL: https://registry.example.com
auth:
  issuers:
    - name: in-cluster
    - {name: edge, issuer: https://kubernetes.default.svc, jwks: /etc/edge.json}
    - {name: gitlab, kind: OIDC, issuer: https://gitlab.com, groupsClaim: groups_direct}
access:
  admins:
    - {kind: User, name: root}
    - {kind: ServiceAccount, namespace: ops, name: admin}
    - {kind: OIDC, issuer: gitlab, claims: [{name: sub, value: "7"}, {name: amr, value: mfa}]}
    - {kind: Group, issuer: gitlab, name: admins}
  operator: {namespace: wharfinger, name: operator}
  jobs: {issuer: edge, namespace: wharfinger, name: jobs}
clusters:
  - {name: prod, reporter: {namespace: wharfinger, name: reporter}}
  - name: test
`,
    "s.yaml",
  );
  expect(settings.auth.issuers).toEqual([
    { name: "in-cluster" },
    { name: "edge", issuer: "https://kubernetes.default.svc", jwks: "/etc/edge.json" },
    { name: "gitlab", kind: "OIDC", issuer: "https://gitlab.com", groupsClaim: "groups_direct" },
  ]);
  expect(settings.access).toEqual({
    ...defaultSettings.access,
    admins: [
      { kind: "User", name: "root" },
      { kind: "ServiceAccount", namespace: "ops", name: "admin" },
      {
        kind: "OIDC",
        issuer: "gitlab",
        claims: [
          { name: "sub", value: "7" },
          { name: "amr", value: "mfa" },
        ],
      },
      { kind: "Group", issuer: "gitlab", name: "admins" },
    ],
    operator: { issuer: "in-cluster", namespace: "wharfinger", name: "operator" },
    jobs: { issuer: "edge", namespace: "wharfinger", name: "jobs" },
  });
  expect(settings.clusters).toEqual([
    { name: "prod", reporter: { issuer: "in-cluster", namespace: "wharfinger", name: "reporter" } },
    { name: "test" },
  ]);
  expect(parseSettings(stringify(describeSettings(settings)), "s.yaml")).toEqual(settings);
});

test.each([
  ["auth: {issuers: [{name: edge, jwks: /etc/edge.json}]}", "s.yaml:1: auth.issuers[0]: issuer is missing"],
  ["auth: {issuers: [{name: edge, issuer: https://a.example}]}", "s.yaml:1: auth.issuers[0]: jwks is missing"],
  ["auth: {issuers: [{name: github, kind: OIDC}]}", "s.yaml:1: auth.issuers[0]: issuer is missing"],
  ["auth: {issuers: [{name: github, kind: oidc, issuer: a, jwks: b}]}", "s.yaml:1: auth.issuers[0].kind: must be one of Kubernetes, OIDC"],
  ["auth: {issuers: [{name: in-cluster, jwks: http://a.example/keys}]}", "s.yaml:1: auth.issuers[0].jwks: neither a file nor an https URL"],
  ["access: {admins: [root]}", "s.yaml:1: access.admins[0]: no subject; write for example {kind: User, name: root}"],
  ["access: {admins: [7]}", "s.yaml:1: access.admins[0]: no subject; write"],
  ["access: {admins: [{kind: Anonymous}]}", "s.yaml:1: access.admins[0].kind: must be one of User, ServiceAccount, OIDC, Group"],
  ["access: {admins: [{kind: User, namespace: ops, name: root}]}", "s.yaml:1: access.admins[0].namespace: is of another kind than this"],
  ["access: {admins: [{kind: User}]}", "s.yaml:1: access.admins[0]: name is missing"],
  ["access: {admins: [{name: root}]}", "s.yaml:1: access.admins[0]: kind is missing"],
  ["access: {admins: [{kind: OIDC, issuer: sso, claims: []}]}", "s.yaml:1: access.admins[0].claims: must NOT have fewer than 1 items"],
  ["access: {admins: [{kind: Group, name: admins}]}", "s.yaml:1: access.admins[0]: issuer is missing"],
  ["access: {operator: {name: operator}}", "s.yaml:1: access.operator: namespace is missing"],
])("%s is refused", (text, problem) => expect(problems(text)).toEqual([expect.stringContaining(problem)]));

test("serve refuses what only a registry process heeds, unless it asks for nothing else than the default", () => {
  const serve = (text: string) => {
    try {
      return parseSettings(text, "s.yaml", { role: "serve" });
    } catch (error) {
      return (error as SettingsError).problems.map((problem) => problem.replace(/ only: .*/, ""));
    }
  };
  const text = [
    "database:",
    "  url: postgres://a@b/c",
    "  passwordFile: /run/password",
    "  connections: 17",
    "  tls: {mode: Require}",
    "  timeouts: {wait: 1s}",
    "storage:",
    "  lowWaterBytes: 7",
    "  folder: /srv/blobs",
    "  s3: {bucket: registry}",
    "spool: {folder: /srv/spool}",
  ].join("\n");
  expect(serve(text)).toEqual(
    [
      [2, "database.url"],
      [3, "database.passwordFile"],
      [4, "database.connections"],
      [5, "database.tls"],
      [6, "database.timeouts"],
      [9, "storage.folder"],
      [10, "storage.s3"],
      [11, "spool.folder"],
    ].map(([line, key]) => `s.yaml:${line}: ${key}: for \`wharfinger registry\``),
  );
  expect(serve(stringify(describeSettings(defaultSettings)))).toEqual(defaultSettings);
  expect(parseSettings(text, "s.yaml").database.connections).toBe(17);
});

test("every mistake is named, in the order of the lines", () => {
  expect(problems("gc:\n  interval: 0s\naccess:\n  anonymousPull: Some\nspol: {}\n").map((problem) => problem.split(": ")[0])).toEqual([
    "s.yaml:2",
    "s.yaml:4",
    "s.yaml:5",
  ]);
});

test("a file that is not there, and one that is", async () => {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-settings-"));
  const file = join(folder, "settings.yaml");
  await expect(loadSettings(file)).rejects.toThrow(`${file}: cannot be read (ENOENT)`);
  await writeFile(file, "gc: {doomDelay: 1s}\n");
  expect((await loadSettings(file)).gc.doomDelay).toBe(1000);
  await rm(folder, { recursive: true });
});

test("the reference page is what the schema says", async () => {
  await expect(settingsReference()).toMatchFileSnapshot("../../docs/reference/settings.md");
});
