// Clusters and their ServiceAccounts, as settings name them.

import { Type } from "typebox";

import { name } from "./fields.ts";

export const clusterName = (description: string) => Type.String({ pattern: "^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$", description });

export const accountFields = {
  issuer: Type.String({ minLength: 1, default: "in-cluster", description: "Its cluster, by its name in `auth.issuers`." }),
  namespace: name("Its namespace."),
  name: name("Its name."),
};

export const account = (description: string) =>
  Type.Object(accountFields, { additionalProperties: false, required: ["namespace", "name"], description });
