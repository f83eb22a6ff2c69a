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
} as const;

/** Keywords of our own, in milliseconds or bytes: JSON Schema's are about the text. */
export const least = "x-least";
export const most = "x-most";
type Range = { readonly [Keyword in typeof least | typeof most]?: number };
/** Signs of life come every third of these times; a database that takes a breath must not cost an upload. */
const uploadTime: Range = { [least]: 1_000 };

const group = (properties: Record<string, TSchema>, description?: string) =>
  Type.Object(properties, { additionalProperties: false, required: [], description });
const duration = (description: string, range: Range = {}) => Type.String({ format: formats.duration, description, ...range });
/** A pause of zero would be a busy loop, a lease of zero would lose what is being pushed. */
const positive = (description: string) => Type.String({ format: formats.positiveDuration, description });
const bytes = (description: string, range: Range = {}) =>
  Type.Unsafe({ type: ["string", "integer"], format: formats.quantity, minimum: 0, description, ...range });
const name = (description: string) => Type.String({ minLength: 1, maxLength: 253, description });

const tenant = Type.Object(
  {
    namespace: name("The namespace that gets the grant."),
    repositories: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "Globs of repositories its policies may select." }),
    kinds: Type.Array(Type.Enum([...kinds]), { default: [], description: "Kinds of resources that count there." }),
    prefixes: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "Prefixes its Upstreams may use." }),
  },
  { additionalProperties: false, required: ["namespace"] },
);

export const settingsSchema = group({
  gc: group(
    {
      lease: positive(
        "How long a pushed blob or manifest stays although nothing refers to it: the time a client has between its first blob and its manifest.",
      ),
      trashFor: duration("How long a deleted manifest can be restored."),
      doomDelay: duration("How long bytes stay after the last reference to them went."),
      interval: positive("Pause of the collector when nothing is due."),
      uploadAbandonedAfter: duration("An upload whose writer was not heard for this long is given up.", uploadTime),
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
      admins: Type.Array(name(""), { description: "Users that may use the whole control API." }),
      hosts: Type.Array(Type.String({ format: formats.host }), {
        description:
          "Further names of the registry, with or without a port, when it listens on a loopback address: those that a reverse proxy sends as `Host`. Other names than `localhost`, the loopback addresses and these are refused (421).",
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
    },
    "Who may do what, beside the AccessPolicies.",
  ),
  tenants: Type.Array(tenant, { description: "Grants: which namespaces beside the administrators' count, for what." }),
  record: group(
    {
      author: group({
        name: name("Author of the record's commits."),
        email: name("Its address."),
      }),
    },
    "The Git record.",
  ),
  spool: group(
    {
      lowWaterBytes: bytes("Free bytes below which blobs fetched from upstreams are passed through and not kept."),
      maxBlobBytes: bytes("The largest blob that is fetched from an upstream; larger ones are refused.", { [least]: 1024 * 1024 }),
    },
    "Fetches from upstreams.",
  ),
  storage: group({ lowWaterBytes: bytes("Free bytes below which pushes are refused (507).") }, "The blob store."),
});
