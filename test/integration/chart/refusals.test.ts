// Values that cannot work: refused before anything is rendered, with the key and what to do. What is unknown, of another type or none of a choice is
// the schema's to refuse (Helm's words name key and choice); texts and what does not fit together are refused in sentences (templates/checks.yaml).

import { expect, test } from "vitest";

import { embedded, everything, helmTemplate, production, reporterAlone, type Values } from "../../support/chart.ts";

const settings = (more: Values): Values => ({ ...production, settings: { ...production.settings, ...more } });
const remote = (more: Values) => settings({ record: { remote: { url: "https://git.example.com/team/registry.git", ...more } } });
const exposed = { ingress: { enabled: true } };

/** What is wrong, the key that the message names, what it says beside it. */
type Row = readonly [values: Values, key: string, words: string];

const unknownOrOfAnotherKind: readonly Row[] = [
  [{ ...production, replicas: 2 }, "replicas", "not allowed"],
  [{ ...production, registry: { replica: 2 } }, "replica", "at '/registry'"],
  [{ ...production, profile: "prod" }, "profile", "one of 'production', 'embedded'"],
  [{ ...production, components: ["registry", "reporter"] }, "components/1", "one of 'registry', 'operator', 'report'"],
  [{ ...production, components: [] }, "components", "got 0, want 1"],
  [{ ...production, logLevel: "verbose" }, "logLevel", "one of 'trace'"],
  [{ ...production, registry: { replicas: "two" } }, "registry/replicas", "got string, want null or integer"],
  [{ ...production, registry: { replicas: -1 } }, "registry/replicas", "got -1, want 0"],
  [{ ...production, service: { type: "Public" } }, "service/type", "one of 'ClusterIP', 'NodePort', 'LoadBalancer'"],
  [
    { ...production, service: { type: "NodePort", externalTrafficPolicy: "local" } },
    "service/externalTrafficPolicy",
    "one of '', 'Local', 'Cluster'",
  ],
  [{ ...production, service: { port: 70_000 } }, "service/port", "want 65,535"],
  [{ ...production, image: { pullPolicy: "Sometimes" } }, "image/pullPolicy", "one of 'IfNotPresent'"],
  [{ ...production, imagePullSecrets: ["pull"] }, "imagePullSecrets/0", "got string, want object"],
  [{ ...production, commonLabels: { team: 1 } }, "commonLabels/team", "got number, want string"],
  [{ ...production, operator: { namespaces: ["a", "a"] } }, "operator/namespaces", "items at 0 and 1 are equal"],
  [{ ...production, crds: { enabled: "yes" } }, "crds/enabled", "got string, want boolean"],
  [settings({ gcc: {} }), "gcc", "at '/settings'"],
  [settings({ gc: { lease: 24 } }), "settings/gc/lease", "got number, want string"],
  [settings({ access: { anonymousPull: "Yes" } }), "settings/access/anonymousPull", "one of 'None', 'PublicUpstreams', 'All'"],
  [settings({ storage: { s3: { bucket: "images", conections: 9 } } }), "conections", "at '/settings/storage/s3'"],
];

const ofAnotherForm: readonly Row[] = [
  [{ ...production, externalURL: "registry.example.com" }, "externalURL", 'write for example "https://registry.example.com"'],
  [{ ...production, externalURL: "https://registry.example.com/images" }, "externalURL", "without a path"],
  [{ ...production, externalURL: "https://me:secret@registry.example.com" }, "externalURL", "without a password"],
  [{ ...reporterAlone, registryURL: "ftp://registry.example.com" }, "registryURL", "scheme://host"],
  [{ ...production, image: { digest: "sha256:12" } }, "image.digest", "64 hexadecimal digits"],
  [{ ...production, imagePullSecrets: [{ name: "Pull" }] }, "imagePullSecrets[0].name", "lower case letters"],
  [{ ...production, adminToken: { existingSecret: { name: "Admin_Token" } } }, "adminToken.existingSecret.name", "lower case letters"],
  [{ ...production, operator: { namespaces: ["ok", "Team A"] } }, "operator.namespaces[1]", "for example team-a"],
  [{ ...everything, reporter: { cluster: "Prod!" } }, "reporter.cluster", "lower case letters"],
  [{ ...production, registry: { spoolSize: "20 GB" } }, "registry.spoolSize", "for example 20Gi"],
  [{ ...embedded, persistence: { size: "much" } }, "persistence.size", "for example 20Gi"],
  [{ ...production, serviceMonitor: { interval: "30" } }, "serviceMonitor.interval", "for example 30s"],
  [{ ...production, helmTest: { image: "docker.io/library/alpine" } }, "helmTest.image", 'for example "cgr/chainguard/nginx:latest"'],
  [{ ...production, service: { clusterIP: "registry.local" } }, "service.clusterIP", "for example 10.96.0.50"],
  [settings({ gc: { lease: "1x" } }), "settings.gc.lease", 'write for example "24h"'],
  [settings({ gc: { trashFor: "2d" } }), "settings.gc.trashFor", 'write for example "24h"'],
  [settings({ limits: { repositoryBytes: "5 GB" } }), "settings.limits.repositoryBytes", '"512Mi"'],
  [settings({ egress: { allowedCIDRs: ["10.0.0.0/8", "10.1"] } }), "settings.egress.allowedCIDRs[1]", '"10.20.0.0/16"'],
  [settings({ egress: { allowedCIDRs: ["10.0.0.0/33"] } }), "settings.egress.allowedCIDRs[0]", '"10.20.0.0/16"'],
  [settings({ database: { url: "db.example.com" } }), "settings.database.url", '"postgres://wharfinger@db.example.com:5432/wharfinger"'],
  [settings({ database: { url: "postgres://me:secret@db/x" } }), "settings.database.url", "without a password"],
  [settings({ storage: { s3: { bucket: "My Bucket" } } }), "settings.storage.s3.bucket", "lower case letters"],
  [
    settings({ storage: { s3: { bucket: "images", endpoint: "s3.example.com" } } }),
    "settings.storage.s3.endpoint",
    "https://host.example.com",
  ],
  [remote({ url: "git@git.example.com:team/registry.git" }), "settings.record.remote.url", "ssh://git@git.example.com/team/registry.git"],
  [remote({ branch: "a//b" }), "settings.record.remote.branch", 'write for example "wharfinger" or "clusters/prod"'],
  [remote({ folder: "../up" }), "settings.record.remote.folder", "without a slash at its ends"],
  [remote({ interval: "often" }), "settings.record.remote.interval", 'write for example "24h"'],
  [
    settings({ auth: { issuers: [{ name: "Edge Cluster", issuer: "https://edge", jwks: "/etc/edge.json" }] } }),
    "settings.auth.issuers[0].name",
    "lower case letters",
  ],
];

/** What `--set users.existingSecret=""` makes, where a text has to be. */
const thatAreEmpty: readonly Row[] = [
  [{ ...production, users: { existingSecret: "" } }, "users.existingSecret", "or leave it out for the default"],
  [{ ...production, robots: { existingSecret: "" } }, "robots.existingSecret", "or leave it out for the default"],
  [{ ...production, adminToken: { existingSecret: { name: "a", key: "" } } }, "adminToken.existingSecret.key", "leave it out"],
  [{ ...production, database: { existingSecret: { name: "a", key: "" } } }, "database.existingSecret.key", "leave it out"],
  [{ ...production, database: { caSecret: { name: "a", key: "" } } }, "database.caSecret.key", "leave it out"],
  [
    { ...production, storage: { s3: { existingSecret: { accessKeyIdKey: "" } } } },
    "storage.s3.existingSecret.accessKeyIdKey",
    "leave it out",
  ],
  [
    { ...production, storage: { s3: { existingSecret: { secretAccessKeyKey: "" } } } },
    "storage.s3.existingSecret.secretAccessKeyKey",
    "leave it out",
  ],
  [{ ...production, image: { repository: "" } }, "image.repository", "leave it out"],
  [{ ...production, listenHost: "" }, "listenHost", "leave it out"],
  [{ ...production, tls: { certManager: { issuerRef: { name: "a" }, dnsNames: [""] } } }, "tls.certManager.dnsNames[0]", "leave it out"],
  [
    { ...production, tls: { certManager: { issuerRef: { name: "a" }, ipAddresses: [""] } } },
    "tls.certManager.ipAddresses[0]",
    "for example 10.96.0.50",
  ],
  [remote({ secretRef: { name: "" } }), "settings.record.remote.secretRef.name", "leave it out"],
  [settings({ jobs: { imagePullSecrets: [""] } }), "settings.jobs.imagePullSecrets[0]", "leave it out"],
];

const thatDoNotFit: readonly Row[] = [
  [{}, "externalURL", "externalURL=https://registry.example.com"],
  [{ ...embedded, ...exposed }, "externalURL", "the name under which the registry is reached"],
  [{ ...embedded, registry: { replicas: 2 } }, "registry.replicas=1", "one volume, which one process holds"],
  [
    { ...embedded, registry: { autoscaling: { enabled: true } } },
    "registry.autoscaling.enabled=false",
    "one volume, which one process holds",
  ],
  [{ ...embedded, components: ["operator"] }, "profile", "components does not have"],
  [{ ...production, settings: { storage: { s3: { bucket: "images" } } } }, "settings.database.url", "postgres://user@host:5432/name"],
  [{ ...production, settings: { database: production.settings.database } }, "settings.storage.s3.bucket", "storage.s3.existingSecret.name"],
  [
    { ...production, components: ["registry"], administrator: { enabled: false } },
    "adminToken.existingSecret.name",
    "kubectl -n registry create secret generic wharfinger-admin-token",
  ],
  [{ ...production, tls: {} }, "tls.certManager.issuerRef.name", "or set tls.enabled=false"],
  [{ ...production, tls: { existingSecret: "a", certManager: { issuerRef: { name: "b" } } } }, "tls.existingSecret", "exclude each other"],
  [{ ...embedded, tls: { existingSecret: "a" } }, "tls.existingSecret", "set tls.enabled=true"],
  [{ ...production, externalURL: "http://registry.example.com" }, "externalURL", "write https:// there, or set tls.enabled=false"],
  [
    { ...production, ingress: { enabled: true, tls: { existingSecret: "a", certManager: { issuerRef: { name: "b" } } } } },
    "ingress.tls.existingSecret",
    "exclude each other",
  ],
  [
    { ...production, gateway: { enabled: true, parentRefs: [{ name: "g" }] } },
    "gateway.backendTLS.caConfigMap",
    "or set tls.enabled=false",
  ],
  [{ ...production, database: { existingSecret: { name: "pg", urlKey: "uri" } } }, "database.existingSecret.urlKey", "exclude each other"],
  [{ ...reporterAlone, registryURL: "" }, "registryURL", "scheme://host:port"],
  [{ ...reporterAlone, reporter: { cluster: "" } }, "reporter.cluster", "settings.clusters"],
  [{ ...everything, reporter: { cluster: "edge" } }, "settings.clusters", "leave it out"],
  [{ ...production, operator: { replicas: 2 } }, "operator.replicas", "one volume with one history"],
  [{ ...production, record: { existingSecret: "git" } }, "record.existingSecret", "settings.record.remote.url"],
  [{ ...production, registry: { autoscaling: { minReplicas: 9 } } }, "registry.autoscaling.minReplicas", "maxReplicas"],
  [{ ...production, service: { nodePort: 30_500 } }, "service.nodePort", "service.type=NodePort"],
  [{ ...production, service: { type: "LoadBalancer", clusterIP: "None" } }, "service.clusterIP", "which needs an address"],
  [{ ...production, registry: { replicas: 3, autoscaling: { enabled: true } } }, "registry.replicas", "exclude each other"],
  [{ ...production, externalURL: "https://10.0.0.7:5000", ...exposed }, "externalURL", "lead by a name"],
  [{ ...production, externalURL: "https://[fd00::7]", ...exposed }, "externalURL", "lead by a name"],
  [{ ...production, service: { externalTrafficPolicy: "Local" } }, "service.externalTrafficPolicy", "set service.type"],
  [{ ...production, ingress: { enabled: true } }, "settings.access.trustedProxies", "with ingress.enabled all clients come from"],
  [
    { ...production, gateway: { enabled: true, parentRefs: [{ name: "g" }] }, tls: { enabled: false } },
    "settings.access.trustedProxies",
    "Write trustedProxies: [] where",
  ],
  [{ ...production, gateway: { enabled: true } }, "gateway.parentRefs", "name the Gateway"],
  [settings({ externalURL: "https://x.example.com" }), "settings.externalURL", "write externalURL"],
  [
    settings({ database: { url: "postgres://u@db/x", passwordFile: "/p" } }),
    "settings.database.passwordFile",
    "write database.existingSecret",
  ],
];

test.each(
  [...unknownOrOfAnotherKind, ...ofAnotherForm, ...thatAreEmpty, ...thatDoNotFit].map((row) => [`${row[1]}: ${row[2]}`, row] as const),
)("%s", async (_, [values, key, words]) => {
  const { code, stdout, stderr } = await helmTemplate(values);
  expect(stderr).toContain(key);
  expect(stderr).toContain(words);
  // In our words and at the place, not as a template that fell over.
  expect(stderr).not.toMatch(/does not match pattern|minLength|nil pointer|error calling/);
  expect([code, stdout]).toEqual([1, ""]);
});

test("everything that is of another form is told at once", async () => {
  const { stderr } = await helmTemplate({ ...production, externalURL: "x", image: { digest: "y" } });
  expect(stderr).toContain("externalURL: ");
  expect(stderr).toContain("image.digest: ");
});
