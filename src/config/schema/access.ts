// `access`: who may do what, beside the AccessPolicies.

import { Type, type TSchema } from "typebox";

import { account } from "./accounts.ts";
import { formats, group, name } from "./fields.ts";

const kinds = {
  User: { needs: ["name"], takes: [] },
  ServiceAccount: { needs: ["namespace", "name"], takes: ["issuer"] },
  OIDC: { needs: ["issuer", "claims"], takes: [] },
  Group: { needs: ["issuer", "name"], takes: [] },
} as const;

const claim = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128, description: "Its name." }),
    value: Type.String({ maxLength: 512, description: "Its value, to the letter." }),
  },
  { additionalProperties: false, required: ["name", "value"] },
);

const fields: Readonly<Record<string, TSchema>> = {
  issuer: Type.String({
    minLength: 1,
    maxLength: 63,
    description:
      "By its name in `auth.issuers`. `ServiceAccount`: its cluster, `in-cluster` when it is left out. `OIDC` and `Group`: an OpenID provider.",
  }),
  namespace: name("`ServiceAccount`: its namespace."),
  name: name("Of the user (`htpasswd`; a robot is never meant), the account or the group."),
  claims: Type.Array(claim, { minItems: 1, maxItems: 16, description: "`OIDC`: claims that its token must have, all of them." }),
};

/** The subjects of AccessPolicies, `Anonymous` aside. A plain name is none: it does not say whose it is. */
const administrator = Type.Unsafe({
  type: "object",
  format: formats.administrator,
  properties: { kind: Type.Enum(Object.keys(kinds), { description: "The kind of subject." }), ...fields },
  required: ["kind"],
  additionalProperties: false,
  allOf: Object.entries(kinds).map(([kind, { needs, takes }]) => ({
    if: { properties: { kind: { const: kind } }, required: ["kind"] },
    // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's word
    then: {
      required: needs,
      properties: Object.fromEntries(
        Object.keys(fields).flatMap((key) => ([...needs, ...takes].includes(key as never) ? [] : [[key, false]])),
      ),
    },
  })),
});

export const access = group(
  {
    admins: Type.Array(administrator, {
      description:
        "Who may use the whole control API, as subjects of AccessPolicies: `{kind: User, name: root}`, `{kind: ServiceAccount, namespace: ops, name: admin}`, `{kind: OIDC, issuer: sso, claims: [{name: sub, value: …}]}`, `{kind: Group, issuer: sso, name: registry-admins}`. A robot is never one.",
    }),
    hosts: Type.Array(Type.String({ format: formats.host }), {
      description:
        "Further names of the registry, with or without a port: those that a reverse proxy sends as `Host`. Clients that come by one are sent to `/token` by the same name. On a loopback address all but `localhost`, the loopback addresses and these are refused (421).",
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
