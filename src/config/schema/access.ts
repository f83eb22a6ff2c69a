// `access`: who may do what, beside the AccessPolicies.

import { Type } from "typebox";

import { account, accountFields } from "./accounts.ts";
import { formats, group, name } from "./fields.ts";

/** Keywords about texts and about objects count for these alone. */
const administrator = Type.Unsafe({
  type: ["string", "object"],
  minLength: 1,
  maxLength: 253,
  properties: { kind: Type.Enum(["ServiceAccount"], { description: "The kind of subject." }), ...accountFields },
  required: ["kind", "namespace", "name"],
  additionalProperties: false,
});

export const access = group(
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
        name: name("Name of the Secret that holds the users: key `htpasswd`, bcrypt or argon2id."),
      }),
    }),
    robots: group({
      secretRef: group({
        namespace: name("Namespace of the Secret that holds the robots."),
        name: name('Name of the Secret that holds the robots: a key each, `{"sha256":"…","expires":"…"}`.'),
      }),
    }),
    operator: account("The operator's ServiceAccount: the one writer of this registry beside administrators."),
    jobs: account("The ServiceAccount of jobs. Each of its Pods may do what its own run needs, and nothing when that has ended."),
  },
  "Who may do what, beside the AccessPolicies.",
);
