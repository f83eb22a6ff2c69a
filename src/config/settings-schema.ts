// The schema of `--settings FILE`. Descriptions become docs/reference/settings.md; the defaults are those of ./settings.ts.

import { Type, type TSchema } from "typebox";

import { kinds } from "../domain/resource.ts";

/** Formats that only exist here; load-settings.ts checks and converts them. */
export const formats = {
  duration: "duration",
  positiveDuration: "positive-duration",
  quantity: "quantity",
  cidr: "cidr",
  host: "host",
  url: "http-url",
  keySet: "https-url-or-file",
  remote: "git-remote",
  postgres: "postgres-url",
  glob: "glob",
  signer: "allowed-signer",
} as const;

/** Keywords of our own, in milliseconds or bytes: JSON Schema's are about the text. */
export const least = "x-least";
export const most = "x-most";
type Range = { readonly [Keyword in typeof least | typeof most]?: number };
/** Keyword of our own: `wharfinger registry` alone goes by it. */
export const registryOnly = "x-registry-only";
const ofRegistry = <Schema extends TSchema>(schema: Schema): Schema => Object.assign(schema, { [registryOnly]: true });
/** Signs of life come every third of these times; a database that takes a breath must not cost an upload. */
const uploadTime: Range = { [least]: 1_000 };

/** Timers that are longer than 24.8 days end at once. */
const snapshotTime: Range = { [most]: 20 * 24 * 3_600_000 };

const group = (properties: Record<string, TSchema>, description?: string) =>
  Type.Object(properties, { additionalProperties: false, required: [], description });
/** `keys`: each needs the others beside it. */
const needing = (keys: Readonly<Record<string, readonly string[]>>, properties: Record<string, TSchema>, description: string) =>
  Object.assign(group(properties, description), { dependencies: keys });
const duration = (description: string, range: Range = {}) => Type.String({ format: formats.duration, description, ...range });
/** A pause of zero would be a busy loop, a lease of zero would lose what is being pushed. */
const positive = (description: string, range: Range & { readonly default?: string } = {}) =>
  Type.String({ format: formats.positiveDuration, description, ...range });
/** Timers that are longer than 24.8 days end at once. */
const wait = (description: string) => positive(description, { [most]: 24 * 3_600_000 });
const bytes = (description: string, range: Range = {}) =>
  Type.Unsafe({ type: ["string", "integer"], format: formats.quantity, minimum: 0, description, ...range });
const globs = (description: string, least = 0) => Type.Array(Type.String({ format: formats.glob }), { minItems: least, description });
const name = (description: string) => Type.String({ minLength: 1, maxLength: 253, description });

const tenant = Type.Object(
  {
    namespace: name("The namespace that gets the grant."),
    repositories: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "Globs of repositories its policies may select." }),
    kinds: Type.Array(Type.Enum([...kinds]), { default: [], description: "Kinds of resources that count there." }),
    prefixes: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "Prefixes its Upstreams may use." }),
    workloads: Type.Array(name(""), {
      minItems: 1,
      description:
        "Namespaces of the clusters in which its images run: a reporter that sees only these is enough for the `inUse` of its RetentionPolicies. Without it the whole cluster has to be reported.",
    }),
  },
  { additionalProperties: false, required: ["namespace"] },
);

const clusterName = (description: string) => Type.String({ pattern: "^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$", description });

const accountFields = {
  issuer: Type.String({ minLength: 1, default: "in-cluster", description: "Its cluster, by its name in `auth.issuers`." }),
  namespace: name("Its namespace."),
  name: name("Its name."),
};
const account = (description: string) =>
  Type.Object(accountFields, { additionalProperties: false, required: ["namespace", "name"], description });

/** Keywords about texts and about objects count for these alone. */
const administrator = Type.Unsafe({
  type: ["string", "object"],
  minLength: 1,
  maxLength: 253,
  properties: { kind: Type.Enum(["ServiceAccount"], { description: "The kind of subject." }), ...accountFields },
  required: ["kind", "namespace", "name"],
  additionalProperties: false,
});

const cluster = Type.Object(
  {
    name: clusterName("The name under which its reporter reports, and which `inUse.clusters` of RetentionPolicies may say."),
    reporter: account("The ServiceAccount that reports for it, and for no other cluster. Without one only administrators may."),
  },
  { additionalProperties: false, required: ["name"] },
);

const file = (description: string) => Type.String({ minLength: 1, description });
const atLeastOne = (description: string) => Type.Integer({ minimum: 1, description });
const positiveCount = (fallback: number, description: string) =>
  Type.Integer({ minimum: 1, maximum: 10_000, default: fallback, description });

const bucket = Type.Object(
  {
    bucket: Type.String({
      pattern: "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
      description: "Name of the bucket. It must exist, and belong to this installation alone or under `prefix`.",
    }),
    region: Type.String({
      minLength: 1,
      default: "us-east-1",
      description: "Region of the bucket; some services of your own take any, others one (versitygw: `us-east-1` by default).",
    }),
    endpoint: Type.String({ format: formats.url, description: "URL of the service; without it AWS." }),
    prefix: Type.String({
      pattern: "^(?:[A-Za-z0-9._-]+/)*$",
      default: "",
      description: "What all keys begin with, for example `registry/`.",
    }),
    forcePathStyle: Type.Boolean({
      default: false,
      description: "`https://host/bucket/key` instead of `https://bucket.host/key`: most services of your own want it.",
    }),
    accessKeyIdFile: file(
      "File with the access key id, read again every few minutes. Without it credentials are found as the AWS SDK does: environment, web identity, instance.",
    ),
    secretAccessKeyFile: file("File with the secret access key."),
    redirect: Type.Boolean({
      default: false,
      description:
        "Who pulls a whole blob of a repository of your own is sent to the service for its bytes (307, an address that is good for ten minutes for whoever has it). HEAD and ranges are answered here.",
    }),
    redirectEndpoint: Type.String({
      format: formats.url,
      description: "URL under which clients reach the service, where that is not `endpoint`.",
    }),
    connections: positiveCount(
      256,
      "Connections of one process to the service at once. A quarter is kept for pushes and deletes; downloads share the others, so that a slow client keeps none from who waits for one.",
    ),
  },
  {
    additionalProperties: false,
    required: ["bucket"],
    dependencies: { accessKeyIdFile: ["secretAccessKeyFile"], secretAccessKeyFile: ["accessKeyIdFile"] },
  },
);

const issuer = Type.Object(
  {
    name: clusterName("What this registry calls the cluster; `in-cluster` is the one that it runs in."),
    issuer: Type.String({
      minLength: 1,
      description:
        "`iss` of the cluster's tokens (`kubectl get --raw /.well-known/openid-configuration`). `in-cluster` has it from the token of its own Pod when it is left out.",
    }),
    jwks: Type.String({
      format: formats.keySet,
      description:
        "`https://…` or file of its keys (`kubectl get --raw /openid/v1/jwks`), read again every five minutes. `in-cluster` has those of its API server when it is left out.",
    }),
    caFile: file("File with the authority of that URL (PEM), where it is none that Node knows. `in-cluster`: that of its Pod."),
    tokenFile: file("File with a token for that URL. `in-cluster`: that of its Pod."),
  },
  {
    additionalProperties: false,
    required: ["name"],
    if: { properties: { name: { const: "in-cluster" } } },
    else: { required: ["issuer", "jwks"] },
  },
);

const quantities = (description: string) =>
  Type.Unsafe({ type: "object", additionalProperties: { type: ["string", "integer"] }, description });

const toleration = Type.Object(
  {
    key: Type.String({ description: "The taint's key; without it all." }),
    operator: Type.Enum(["Equal", "Exists"], { description: "How `value` is compared." }),
    value: Type.String({ description: "The taint's value." }),
    effect: Type.Enum(["NoSchedule", "PreferNoSchedule", "NoExecute"], { description: "The taint's effect; without it all." }),
    tolerationSeconds: Type.Integer({ description: "How long a Pod stays on a node with a `NoExecute` taint." }),
  },
  { additionalProperties: false, required: [] },
);

const jobs = group(
  {
    image: Type.String({
      pattern: "^[A-Za-z0-9][\\w.:/@-]{0,511}$",
      description:
        "The image of their Pods, which has this program. Without it jobs run inside of the operator's process, whose token has to be an administrator's then.",
    }),
    command: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: "How the program is called in the image." }),
    imagePullPolicy: Type.Enum(["IfNotPresent", "Always", "Never"], { description: "When a node pulls the image." }),
    imagePullSecrets: Type.Array(name(""), { description: "Names of Secrets in the operator's namespace with which a node pulls it." }),
    maxConcurrent: positiveCount(4, "Jobs that run at once; others wait their turn. Also of jobs inside of the process."),
    startWithin: positive("A Job of which no container has run by then has failed, with the reason that its Pod gives.", {
      [least]: 1_000,
      [most]: 24 * 3_600_000,
    }),
    deadline: positive("A Job that has not ended by then is stopped.", { [least]: 1_000, [most]: 24 * 3_600_000 }),
    retries: Type.Integer({
      minimum: 0,
      maximum: 10,
      description:
        "Pods that may follow one that ended without having said how (killed, out of memory). What a job itself calls failed is not tried again before its next time.",
    }),
    keepFor: duration("How long a Job that has ended stays to be looked at, and its logs.", { [most]: 30 * 24 * 3_600_000 }),
    history: group(
      {
        succeeded: Type.Integer({ minimum: 0, maximum: 100, description: "How many Jobs of one policy that succeeded stay." }),
        failed: Type.Integer({ minimum: 0, maximum: 100, description: "How many that failed." }),
      },
      "What stays of Jobs.",
    ),
    resources: group(
      { requests: quantities("What a Pod asks of a node."), limits: quantities("What it may use at most.") },
      "As of any container.",
    ),
    nodeSelector: Type.Unsafe({
      type: "object",
      additionalProperties: { type: "string" },
      description: "Labels of the nodes on which they may run.",
    }),
    tolerations: Type.Array(toleration, { description: "Taints of nodes that do not keep them away." }),
    priorityClassName: name("Their PriorityClass."),
  },
  "Jobs of policies, as the operator runs them. They run in its own namespace, as the ServiceAccount `access.jobs`.",
);

const secretRef = (description: string) =>
  Type.Object(
    {
      namespace: Type.String({ minLength: 1, maxLength: 253, default: "default", description: "Namespace of the Secret." }),
      name: name(description),
    },
    { additionalProperties: false, required: ["name"] },
  );

const recordRemote = Type.Object(
  {
    url: Type.String({
      format: formats.remote,
      description: "The repository: `https://host/path` or `ssh://user@host/path`, without a password. Redirects are not followed.",
    }),
    branch: Type.String({
      pattern: "^(?!.*(?:\\.\\.|//|/\\.|\\.lock(?:/|$)))[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?$",
      maxLength: 200,
      default: "wharfinger",
      description:
        "The branch that is the record; made when it is not there. Never the one that Flux or Argo CD reads. Whoever may push to it administers the registry: protect it.",
    }),
    folder: Type.String({
      pattern: "^(?:[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$",
      maxLength: 200,
      default: "",
      description: "Folder of the repository in which the record lies; without it its root.",
    }),
    secretRef: secretRef(
      "Name of the Secret with the credentials. For https its keys `username` and `password` (a token), and `ca.crt` for an authority of your own; for ssh `identity` (a private key without a passphrase) and `known_hosts`. It may change at any time.",
    ),
    interval: positive("Between two looks at the remote. A push of the operator's, or a request, does not wait for it.", {
      default: "30s",
      [least]: 1_000,
      [most]: 24 * 3_600_000,
    }),
    timeout: positive("What one fetch or push may take; the first fetch ten times as much.", { default: "60s", [most]: 3_600_000 }),
  },
  { additionalProperties: false, required: ["url"] },
);

const override = Type.Object(
  {
    repositories: globs("Globs of the repositories.", 1),
    repositoryBytes: bytes("What each of them may have. 0: no limit."),
  },
  { additionalProperties: false, required: ["repositories", "repositoryBytes"] },
);

const databaseTls = Type.Object(
  {
    mode: Type.Enum(["VerifyFull", "Require", "Disable"], {
      description:
        "`VerifyFull`: a certificate of a known authority, for this host name. `Require`: encrypted, but whoever answers is believed. `Disable`: in the clear.",
    }),
    caFile: file("File with the authorities' certificates (PEM), read again for each new connection. Without it those that Node knows."),
    certificateFile: file("File with the client's certificate (PEM)."),
    keyFile: file("File with its key."),
  },
  {
    additionalProperties: false,
    required: ["mode"],
    dependencies: { certificateFile: ["keyFile"], keyFile: ["certificateFile"] },
    description:
      "TLS. Without it `sslmode`, `sslrootcert`, `sslcert` and `sslkey` of the URL count, else `VerifyFull`, on this machine `Disable`.",
  },
);

export const settingsSchema = group({
  externalURL: Type.String({
    format: formats.url,
    description: "Where clients find the registry, `https://registry.example.com`. Tokens count when they are for its host.",
  }),
  auth: group(
    {
      issuers: Type.Array(issuer, {
        description:
          "Clusters whose ServiceAccount tokens count. A key id that two of them have is refused at the start. Needs `externalURL`.",
      }),
    },
    "Who is believed to say who somebody is.",
  ),
  database: group(
    {
      url: ofRegistry(
        Type.String({
          format: formats.postgres,
          description: "The PostgreSQL database, `postgres://user@host:5432/name`, without the password.",
        }),
      ),
      passwordFile: ofRegistry(file("File with the password, read again at each new connection.")),
      connections: ofRegistry(positiveCount(16, "Connections of one process. A quarter is kept for reads.")),
      preparedStatements: ofRegistry(
        Type.Boolean({
          description:
            "`false` when the URL leads to a pooler that gives each transaction another session (PgBouncer with `pool_mode = transaction`): nothing is kept in a session then, and each statement is planned anew.",
        }),
      ),
      serveDigestsFor: duration(
        "While the database does not answer, manifests and blobs that are asked for by digest are served from memory when it confirmed them this recently, to who might pull them then: a deletion of these moments may go unseen. `0s`: they are refused as tags are (503).",
        // A view that is older knows nothing.
        { [most]: 10 * 60_000 },
      ),
      tls: ofRegistry(databaseTls),
      timeouts: ofRegistry(
        group(
          {
            connect: wait("Until a new connection is there."),
            wait: wait("How long a request waits for a free connection before it is told to come again (503)."),
            statement: wait("Longest statement; the server ends it. Migrations take their time."),
            lock: wait("How long a statement waits for what another transaction holds."),
            idleInTransaction: wait("A transaction whose process says nothing for this long is ended, and its locks with it."),
            commit: wait(
              "How long the answer to a COMMIT, or to a single statement that writes, is awaited: within it a synchronous standby must have confirmed.",
            ),
          },
          "How long is waited for what.",
        ),
      ),
      startPatience: ofRegistry(duration("How long a start waits for a database that does not answer yet.")),
      lowWaterBytes: bytes(
        "`wharfinger serve`: free bytes of the database's volume below which pushes and changes are refused (507), before PostgreSQL would end; deletes at half of it. 0: never.",
      ),
    },
    "The database.",
  ),
  gc: group(
    {
      lease: positive(
        "How long a pushed blob or manifest stays although nothing refers to it: the time a client has between its first blob and its manifest.",
      ),
      trashFor: duration("How long a deleted manifest can be restored."),
      doomDelay: duration("How long bytes stay after the last reference to them went."),
      interval: positive("Pause of the collector when nothing is due."),
      uploadAbandonedAfter: duration("An upload whose writer was not heard for this long is given up.", uploadTime),
      brake: group(
        {
          percent: Type.Integer({
            minimum: 0,
            maximum: 100,
            description: "Of all stored bytes. 100: nothing ever pauses.",
          }),
          bytes: bytes("Less than this always goes."),
        },
        "Deleting for good pauses on every process when more than both would go within an hour, until `wharfinger gc resume`.",
      ),
    },
    "Garbage collection.",
  ),
  uploads: group(
    {
      expireAfter: duration("An upload session that nobody writes to ends after this.", uploadTime),
      // Timers that are longer than 24.8 days end at once.
      stallTimeout: duration("A body that delivers nothing for this long is cut.", { ...uploadTime, [most]: 24 * 3_600_000 }),
    },
    "Uploads.",
  ),
  backup: group(
    {
      interval: duration(
        "How often a snapshot of the metadata is written beside the blobs, and one before a migration; `0s`: never. While it is above zero `gc.doomDelay` is at least this and a day.",
        snapshotTime,
      ),
      keep: Type.Integer({ minimum: 1, maximum: 1_000, description: "How many snapshots are kept." }),
    },
    "Snapshots of the metadata.",
  ),
  egress: group(
    {
      allowedCIDRs: Type.Array(Type.String({ format: formats.cidr }), {
        description: "Private networks that Upstreams may lead to, for example `10.20.0.0/16`.",
      }),
    },
    "Where the registry may connect to.",
  ),
  access: group(
    {
      admins: Type.Array(administrator, {
        description:
          "Who may use the whole control API: users by their names, `ServiceAccount`s as `{kind: ServiceAccount, namespace: ops, name: admin}`.",
      }),
      hosts: Type.Array(Type.String({ format: formats.host }), {
        description:
          "Further names of the registry, with or without a port, when it listens on a loopback address: those that a reverse proxy sends as `Host`. Other names than `localhost`, the loopback addresses and these are refused (421).",
      }),
      trustedProxies: Type.Array(Type.String({ format: formats.cidr }), {
        description:
          "Networks of the reverse proxies in front, for example `127.0.0.1/32`: from them `X-Forwarded-For` says who the client is, to the login brake, the limits and the log. Without it all who come through a proxy are one source.",
      }),
      anonymousPull: Type.Enum(["None", "PublicUpstreams", "All"], {
        description: "What may be pulled without a login. `PublicUpstreams`: what Upstreams without credentials serve.",
      }),
      users: group({
        secretRef: group({
          namespace: name("Namespace of the Secret that holds the users."),
          name: name("Name of the Secret that holds the users: key `htpasswd`, bcrypt."),
        }),
      }),
      operator: account("The operator's ServiceAccount: the one writer of this registry beside administrators."),
      jobs: account("The ServiceAccount of jobs. Each of its Pods may do what its own run needs, and nothing when that has ended."),
    },
    "Who may do what, beside the AccessPolicies.",
  ),
  jobs,
  tenants: Type.Array(tenant, { description: "Grants: which namespaces beside the administrators' count, for what." }),
  clusters: Type.Array(cluster, {
    uniqueItems: true,
    description:
      "Clusters whose reporters (`wharfinger report`) say what they use. While one of them is silent, no RetentionPolicy that asks it deletes anything.",
  }),
  retention: group(
    {
      scanners: group(
        {
          users: Type.Array(name(""), { description: "Users, by name." }),
          userAgents: Type.Array(Type.String({ pattern: "^[!-.0-~]{1,100}$" }), {
            description: "What User-Agent begins with, up to the first `/`: `trivy`.",
          }),
        },
        "Clients that look at images and run none of them: for `pulledWithin`, `mostRecentlyPulled` and `inUse` their pulls are none.",
      ),
    },
    "What RetentionPolicies go by.",
  ),
  record: needing(
    { verify: ["signing"] },
    {
      author: group({
        name: name("Author of the record's commits."),
        email: name("Its address."),
      }),
      remote: recordRemote,
      signing: Type.Object(
        {
          secretRef: secretRef(
            "Name of the Secret whose key `identity`, an SSH private key without a passphrase, signs the record's commits. It may be the remote's, and change at any time.",
          ),
        },
        { additionalProperties: false, required: ["secretRef"], description: "Without it commits are not signed." },
      ),
      verify: Type.Object(
        {
          allowedSigners: Type.Array(Type.String({ format: formats.signer }), {
            minItems: 1,
            description:
              "Lines of an ALLOWED SIGNERS file (`man ssh-keygen`): `jane@example.org ssh-ed25519 AAAA…`, with the options of such a file. Only commits of the branch that one of these keys signed are followed. The registry's own key is one of them.",
          }),
        },
        {
          additionalProperties: false,
          required: ["allowedSigners"],
          description: "Without it whoever can push is believed.",
        },
      ),
    },
    "The Git record.",
  ),
  spool: group(
    {
      folder: ofRegistry(
        file(
          "Where fetches lie while they are on their way to the bucket, and parts of pushes that come slowly while there is no memory for them (up to 8 MiB a transfer); local and fast. Without it a folder of the system's place for temporary files.",
        ),
      ),
      lowWaterBytes: bytes("Free bytes below which blobs fetched from upstreams are passed through and not kept."),
      maxBlobBytes: bytes("The largest blob that is fetched from an upstream; larger ones are refused.", { [least]: 1024 * 1024 }),
    },
    "Fetches from upstreams.",
  ),
  storage: group(
    {
      lowWaterBytes: bytes("Free bytes below which pushes are refused (507); snapshots of the metadata at half of it."),
      folder: ofRegistry(file("A folder for the bytes instead of a bucket. One process has it; a second one is refused.")),
      s3: ofRegistry(bucket),
    },
    "The blob store.",
  ),
  limits: group(
    {
      repositoryBytes: bytes(
        "What a repository of your own may have: its blobs, each once, and its manifests, deleted ones too while they can be restored. What would make it larger is refused (403). 0: no limit.",
      ),
      overrides: Type.Array(override, { description: "Repositories with another limit; the first entry that names one counts." }),
      uploadsPerIdentity: atLeastOne(
        "Upload sessions that one identity may have open at once; all without a login are one identity (429 beyond it).",
      ),
      uploads: atLeastOne("Upload sessions that all together may have open at once (429 beyond it)."),
      transfersPerIdentity: atLeastOne(
        "Blobs that one identity may push and pull at once, on each process; without a login: one client address (429 beyond it).",
      ),
    },
    "How much one repository or one identity may take.",
  ),
  readOnly: Type.Boolean({
    description: "Pulls only: nothing is written to the database or the blob store, and the collector rests (as with `--read-only`).",
  }),
  allowMissingBlobs: globs(
    "Repositories whose manifests may name layers and configs that are not here (sparse images); what arrives later is held from then on.",
  ),
});
