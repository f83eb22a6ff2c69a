// The settings of an installation: one YAML file (`--settings FILE`), the same keys as the chart's `settings`.
// Every key has a default; the loader is ./load-settings.ts.

import type { RecordSettings } from "../domain/record-settings.ts";
import type { SomebodySubject } from "../domain/subjects.ts";

export interface Tenant {
  readonly namespace: string;
  readonly repositories: readonly string[];
  readonly kinds: readonly string[];
  readonly prefixes: readonly string[];
  /** Hosts of `?ns=` that its Upstreams may answer for. */
  readonly hosts: readonly string[];
  /** Namespaces of the clusters in which its images run; undefined: any. */
  readonly workloads?: readonly string[];
}

/** A bucket of AWS S3 or of a service that speaks its protocol. */
export interface BucketSettings {
  readonly bucket: string;
  readonly region: string;
  /** URL of the service; undefined: AWS. */
  readonly endpoint?: string;
  /** What keys of this installation begin with: empty, or with a slash at its end. */
  readonly prefix: string;
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. */
  readonly forcePathStyle: boolean;
  /** Both or neither: without them credentials are found as the AWS SDK does. */
  readonly accessKeyIdFile?: string;
  readonly secretAccessKeyFile?: string;
  /** Who pulls a blob is sent to the bucket's service for its bytes. */
  readonly redirect: boolean;
  /** URL under which clients reach the service, where that is not `endpoint`. */
  readonly redirectEndpoint?: string;
  /** Connections at once. */
  readonly connections: number;
}

/** Bytes of a repository; 0: as many as there is space for. */
export interface Limits {
  readonly repositoryBytes: number;
  /** The first one that names a repository counts for it. */
  readonly overrides: readonly { readonly repositories: readonly string[]; readonly repositoryBytes: number }[];
  /** Upload sessions open at once. */
  readonly uploadsPerIdentity: number;
  readonly uploads: number;
  /** Blobs on their way at once. */
  readonly transfersPerIdentity: number;
}

/** A ServiceAccount of a cluster; `issuer` is the cluster's name in `auth.issuers`. */
export interface AccountSettings {
  readonly issuer: string;
  readonly namespace: string;
  readonly name: string;
}

/** Whose tokens count: a cluster, of its ServiceAccounts, or an OpenID provider. */
export interface IssuerSettings {
  readonly name: string;
  /** Undefined: Kubernetes. */
  readonly kind?: "Kubernetes" | "OIDC";
  /** `iss` of its tokens; undefined: as the process's own token says. */
  readonly issuer?: string;
  /** URL or file of its keys; undefined: as the API server of this cluster publishes them, or as the OpenID provider says. */
  readonly jwks?: string;
  /** OIDC: claim with the groups. */
  readonly groupsClaim?: string;
  readonly requiredClaims?: readonly { readonly name: string; readonly values: readonly string[] }[];
  readonly caFile?: string;
  readonly tokenFile?: string;
}

/** How the operator runs jobs; everything about their Pods is here, and nothing in a resource. */
export interface JobsSettings {
  /** Undefined: jobs run inside of the process. */
  readonly image?: string;
  readonly command: readonly string[];
  readonly imagePullPolicy: "IfNotPresent" | "Always" | "Never";
  /** Names of Secrets in the operator's namespace. */
  readonly imagePullSecrets: readonly string[];
  readonly maxConcurrent: number;
  /** Until a container of the Job must have run. */
  readonly startWithin: number;
  /** Until the Job must have ended, all its Pods together. */
  readonly deadline: number;
  /** Pods that may follow one that ended without having said how. */
  readonly retries: number;
  readonly keepFor: number;
  readonly history: { readonly succeeded: number; readonly failed: number };
  readonly resources: {
    readonly requests: Readonly<Record<string, string | number>>;
    readonly limits: Readonly<Record<string, string | number>>;
  };
  readonly nodeSelector: Readonly<Record<string, string>>;
  readonly tolerations: readonly Readonly<Record<string, unknown>>[];
  readonly priorityClassName?: string;
}

/** All durations are milliseconds. */
export interface Settings {
  /** Where clients find the registry: its host is what tokens must be for. */
  readonly externalURL?: string;
  readonly auth: {
    readonly issuers: readonly IssuerSettings[];
    /** Keys for access tokens, instead of those in the database. */
    readonly signingKeySecret?: { readonly namespace: string; readonly name: string };
  };
  /** `wharfinger registry` only; standalone brings its own. */
  readonly database: {
    /** postgres://user@host:5432/name, without the password. */
    readonly url?: string;
    /** Instead: a file with the whole URL, password included. */
    readonly urlFile?: string;
    readonly passwordFile?: string;
    /** Connections of one process. */
    readonly connections: number;
    /** False behind a pooler that gives each transaction another session. */
    readonly preparedStatements: boolean;
    /** By digest, what was confirmed this recently is served while the database does not answer. 0: nothing is. */
    readonly serveDigestsFor: number;
    /** Without it what the URL's `sslmode` says. */
    readonly tls?: {
      readonly mode: "VerifyFull" | "Require" | "Disable";
      readonly caFile?: string;
      readonly certificateFile?: string;
      readonly keyFile?: string;
    };
    readonly timeouts: {
      /** Until a new connection is there. */
      readonly connect: number;
      /** For a free connection. */
      readonly wait: number;
      /** Longest statement. */
      readonly statement: number;
      /** For a lock that somebody else holds. */
      readonly lock: number;
      /** Silence of a process within a transaction. */
      readonly idleInTransaction: number;
      /** For the answer to a COMMIT. */
      readonly commit: number;
    };
    /** Free bytes of an embedded database's volume below which nothing is written to it. */
    readonly lowWaterBytes: number;
  };
  readonly gc: {
    /** How long a pushed blob or manifest stays without being referenced (storage.md, U2 and U3). */
    readonly lease: number;
    /** How long a deleted manifest can be restored. */
    readonly trashFor: number;
    /** How long the bytes stay after the last reference went. */
    readonly doomDelay: number;
    /** Pause between two rounds of the collector when nothing is due. */
    readonly interval: number;
    /** An upload whose writer has not been heard for this long is given up. */
    readonly uploadAbandonedAfter: number;
    /** Sweeping pauses when more than both would go within an hour. */
    readonly brake: { readonly percent: number; readonly bytes: number };
  };
  readonly uploads: {
    /** A session nobody writes to expires after this. */
    readonly expireAfter: number;
    /** A body that delivers nothing for this long is cut. */
    readonly stallTimeout: number;
  };
  /** Snapshots of the metadata in the store (storage.md, "Backup"). */
  readonly backup: {
    /** 0: none are taken by themselves. */
    readonly interval: number;
    /** How many are kept. */
    readonly keep: number;
  };
  readonly egress: { readonly allowedCIDRs: readonly string[] };
  readonly access: {
    /** Who may use the whole control API. */
    readonly admins: readonly SomebodySubject[];
    /** Names of this registry beside those of this machine, for a listener on loopback behind a proxy. */
    readonly hosts: readonly string[];
    /** Networks of reverse proxies whose X-Forwarded-For counts. */
    readonly trustedProxies: readonly string[];
    readonly anonymousPull: "None" | "PublicUpstreams" | "All";
    readonly users: { readonly secretRef: { readonly namespace: string; readonly name: string } };
    /** Users for machines, a key each. */
    readonly robots: { readonly secretRef: { readonly namespace: string; readonly name: string } };
    /** The one writer beside administrators. */
    readonly operator?: AccountSettings;
    /** As whom the Pods of jobs run. */
    readonly jobs?: AccountSettings;
  };
  readonly jobs: JobsSettings;
  readonly tenants: readonly Tenant[];
  /** Clusters that retention asks what they use. */
  readonly clusters: readonly { readonly name: string; readonly reporter?: AccountSettings }[];
  readonly retention: {
    /** Clients that look at images and run none: their pulls count for no rule. */
    readonly scanners: { readonly users: readonly string[]; readonly userAgents: readonly string[] };
  };
  readonly record: RecordSettings;
  readonly spool: {
    /** Where fetches lie while they are on their way to the bucket, and parts of pushes while there is no memory for them; undefined: in the system's folder for temporary files. */
    readonly folder?: string;
    readonly lowWaterBytes: number;
    /** Larger blobs of upstreams are refused. */
    readonly maxBlobBytes: number;
  };
  readonly storage: {
    readonly lowWaterBytes: number;
    /** `wharfinger registry` only, instead of a bucket: one process, one folder. */
    readonly folder?: string;
    readonly s3?: BucketSettings;
  };
  readonly limits: Limits;
  readonly stop: {
    /** Not ready, and still taking connections. */
    readonly delay: number;
    /** For transfers that are under way after that. */
    readonly grace: number;
  };
  /** Nothing is written, neither to the database nor to the blob store. */
  readonly readOnly: boolean;
  /** Globs of repositories whose manifests may name layers and configs that are not here. */
  readonly allowMissingBlobs: readonly string[];
}

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

export const defaultSettings: Settings = {
  auth: { issuers: [] },
  database: {
    connections: 16,
    preparedStatements: true,
    serveDigestsFor: minute,
    timeouts: {
      connect: 5 * second,
      wait: 5 * second,
      statement: 30 * second,
      lock: 10 * second,
      idleInTransaction: 30 * second,
      commit: 10 * second,
    },
    // Less than the blob store's: where both share a volume, pushes stop first, and what frees space goes on.
    lowWaterBytes: 256 * 1024 * 1024,
  },
  gc: {
    lease: 24 * hour,
    trashFor: 24 * hour,
    doomDelay: 48 * hour,
    interval: minute,
    uploadAbandonedAfter: 24 * hour,
    brake: { percent: 30, bytes: 10 * 1024 ** 3 },
  },
  uploads: { expireAfter: 24 * hour, stallTimeout: minute },
  backup: { interval: 24 * hour, keep: 7 },
  egress: { allowedCIDRs: [] },
  access: {
    admins: [],
    hosts: [],
    trustedProxies: [],
    anonymousPull: "PublicUpstreams",
    users: { secretRef: { namespace: "default", name: "wharfinger-users" } },
    robots: { secretRef: { namespace: "default", name: "wharfinger-robots" } },
  },
  jobs: {
    command: ["wharfinger"],
    imagePullPolicy: "IfNotPresent",
    imagePullSecrets: [],
    maxConcurrent: 4,
    startWithin: 5 * minute,
    deadline: hour,
    retries: 1,
    keepFor: 24 * hour,
    history: { succeeded: 3, failed: 1 },
    resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "512Mi" } },
    nodeSelector: {},
    tolerations: [],
  },
  tenants: [],
  clusters: [],
  retention: { scanners: { users: [], userAgents: [] } },
  record: { author: { name: "Wharfinger", email: "wharfinger@localhost" } },
  // Several times the largest layers that are in use: models and toolchains of some GiB.
  spool: { lowWaterBytes: 512 * 1024 * 1024, maxBlobBytes: 16 * 1024 ** 3 },
  storage: { lowWaterBytes: 512 * 1024 * 1024 },
  stop: { delay: 0, grace: 10 * second },
  limits: { repositoryBytes: 0, overrides: [], uploadsPerIdentity: 1_000, uploads: 10_000, transfersPerIdentity: 1_000 },
  readOnly: false,
  allowMissingBlobs: [],
};
