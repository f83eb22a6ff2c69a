// `tenants`, `clusters`: whose resources count, and whose reports.

import { Type } from "typebox";

import { kinds } from "../../domain/resource.ts";
import { account, clusterName } from "./accounts.ts";
import { name } from "./fields.ts";

const tenant = Type.Object(
  {
    namespace: name("The namespace that gets the grant."),
    repositories: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "Globs of repositories its policies may select." }),
    kinds: Type.Array(Type.Enum([...kinds]), { default: [], description: "Kinds of resources that count there." }),
    prefixes: Type.Array(Type.String({ minLength: 1 }), { default: [], description: "Prefixes its Upstreams may use." }),
    hosts: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        "Hosts for which its Upstreams may answer nodes' mirrors (`?ns=`), for example `docker.io`: whoever has one says what every node gets under that name.",
    }),
    workloads: Type.Array(name(""), {
      minItems: 1,
      description:
        "Namespaces of the clusters in which its images run: a reporter that sees only these is enough for the `inUse` of its RetentionPolicies. Without it the whole cluster has to be reported.",
    }),
  },
  { additionalProperties: false, required: ["namespace"] },
);

export const tenants = Type.Array(tenant, { description: "Grants: which namespaces beside the administrators' count, for what." });

const cluster = Type.Object(
  {
    name: clusterName("The name under which its reporter reports, and which `inUse.clusters` of RetentionPolicies may say."),
    reporter: account("The ServiceAccount that reports for it, and for no other cluster. Without one only administrators may."),
  },
  { additionalProperties: false, required: ["name"] },
);

export const clusters = Type.Array(cluster, {
  uniqueItems: true,
  description:
    "Clusters whose reporters (`wharfinger report`) say what they use. While one of them is silent, no RetentionPolicy that asks it deletes anything.",
});
