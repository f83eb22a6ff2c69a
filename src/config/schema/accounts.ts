// Clusters and their ServiceAccounts, as settings name them.

import { Type } from "typebox";

import { instead, name, text } from "./fields.ts";

export const clusterName = (description: string) =>
  text({
    pattern: "^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$",
    [instead]: 'not a name for a cluster; write at most 63 lower case letters, digits, - and ., for example "edge-1"',
    description,
  });

export const accountFields = {
  issuer: Type.String({ minLength: 1, default: "in-cluster", description: "Its cluster, by its name in `auth.issuers`." }),
  namespace: name("Its namespace."),
  name: name("Its name."),
};

export const account = (description: string) =>
  Type.Object(accountFields, { additionalProperties: false, required: ["namespace", "name"], description });
