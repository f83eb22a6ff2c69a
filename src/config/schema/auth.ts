// `auth`: whose tokens count.

import { Type } from "typebox";

import { clusterName } from "./accounts.ts";
import { file, formats, group, name } from "./fields.ts";

const issuer = Type.Object(
  {
    name: clusterName("What this registry calls it, and AccessPolicies name it by; `in-cluster` is the cluster that it runs in."),
    kind: Type.Enum(["Kubernetes", "OIDC"], {
      description:
        "What it is: a cluster, whose tokens speak of ServiceAccounts (`Kubernetes`, what it is when this is left out), or an OpenID provider such as GitHub Actions or GitLab, whose tokens have claims.",
    }),
    issuer: Type.String({
      minLength: 1,
      description:
        "`iss` of its tokens. Of a cluster: `kubectl get --raw /.well-known/openid-configuration`; `in-cluster` has it from the token of its own Pod when it is left out. Of an OpenID provider: its URL, for example `https://token.actions.githubusercontent.com`.",
    }),
    jwks: Type.String({
      format: formats.keySet,
      description:
        "`https://…` or file of its keys, read again every five minutes. Of a cluster: `kubectl get --raw /openid/v1/jwks`; `in-cluster` has those of its API server when it is left out. An OpenID provider says where they are when it is left out (`/.well-known/openid-configuration`), on its own host alone; private addresses only where `egress.allowedCIDRs` allows them.",
    }),
    groupsClaim: Type.String({
      minLength: 1,
      maxLength: 128,
      description: "`OIDC`: the claim that says its bearer's groups, for example `groups_direct` of GitLab. Without it nobody is in any.",
    }),
    requiredClaims: Type.Array(
      Type.Object(
        {
          name: Type.String({ minLength: 1, maxLength: 128, description: "Name of a claim." }),
          values: Type.Array(Type.String({ maxLength: 512 }), { minItems: 1, maxItems: 64, description: "One of these, to the letter." }),
        },
        { additionalProperties: false, required: ["name", "values"] },
      ),
      {
        maxItems: 16,
        description:
          "`OIDC`: claims that every token must have, all of them, before it says anything about anybody. Of a provider that everybody can use name whose tokens count, for example `{name: repository_owner_id, values: ['65']}` of GitHub.",
      },
    ),
    caFile: file("File with the authority of that URL (PEM), where it is none that Node knows. `in-cluster`: that of its Pod."),
    tokenFile: file("File with a token for that URL. `in-cluster`: that of its Pod."),
  },
  {
    additionalProperties: false,
    required: ["name"],
    if: { properties: { kind: { const: "OIDC" } }, required: ["kind"] },
    // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's word
    then: { required: ["issuer"] },
    else: {
      if: { properties: { name: { const: "in-cluster" } } },
      else: { required: ["issuer", "jwks"] },
    },
  },
);

export const auth = group(
  {
    issuers: Type.Array(issuer, {
      description:
        "Whose tokens count: of clusters (ServiceAccounts), and of OpenID providers, for example of CI systems. A key id that is in the files of two clusters is refused at the start. Needs `externalURL`.",
    }),
    signingKeySecret: Type.Object(
      { namespace: name("Its namespace."), name: name("Its name.") },
      {
        additionalProperties: false,
        required: ["namespace", "name"],
        description:
          "Secret with keys for access tokens, instead of those that the registry makes and keeps in its database: `signing.pem` signs (Ed25519 or P-256, `openssl genpkey -algorithm ed25519`), and every `*.pem` verifies.",
      },
    ),
  },
  "Who is believed to say who somebody is.",
);
