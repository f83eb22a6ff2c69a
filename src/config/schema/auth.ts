// `auth`: whose tokens count.

import { Type } from "typebox";

import { clusterName } from "./accounts.ts";
import { file, formats, group } from "./fields.ts";

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

export const auth = group(
  {
    issuers: Type.Array(issuer, {
      description:
        "Clusters whose ServiceAccount tokens count. A key id that two of them have is refused at the start. Needs `externalURL`.",
    }),
  },
  "Who is believed to say who somebody is.",
);
