// The schema of `--settings FILE`. Descriptions become docs/reference/settings.md; the defaults are those of ./settings.ts.

import { Type } from "typebox";

import { access } from "./schema/access.ts";
import { auth } from "./schema/auth.ts";
import { clusters, tenants } from "./schema/clusters.ts";
import { database } from "./schema/database.ts";
import { formats, globs, group, instead, name, text } from "./schema/fields.ts";
import { jobs } from "./schema/jobs.ts";
import { backup, gc, uploads } from "./schema/keeping.ts";
import { limits } from "./schema/limits.ts";
import { record } from "./schema/record.ts";
import { stop } from "./schema/stop.ts";
import { spool, storage } from "./schema/storage.ts";

export const settingsSchema = group({
  externalURL: Type.String({
    format: formats.url,
    description: "Where clients find the registry, `https://registry.example.com`. Tokens count when they are for its host.",
  }),
  auth,
  database,
  gc,
  uploads,
  backup,
  egress: group(
    {
      allowedCIDRs: Type.Array(Type.String({ format: formats.cidr }), {
        description: "Private networks that Upstreams may lead to, for example `10.20.0.0/16`.",
      }),
    },
    "Where the registry may connect to.",
  ),
  access,
  jobs,
  tenants,
  clusters,
  retention: group(
    {
      scanners: group(
        {
          users: Type.Array(name(""), { description: "Users, by name." }),
          userAgents: Type.Array(
            text({
              pattern: "^[!-.0-~]{1,100}$",
              [instead]: 'not the beginning of a User-Agent; write for example "trivy", without a slash and without spaces',
            }),
            { description: "What User-Agent begins with, up to the first `/`: `trivy`." },
          ),
        },
        "Clients that look at images and run none of them: for `pulledWithin`, `mostRecentlyPulled` and `inUse` their pulls are none.",
      ),
    },
    "What RetentionPolicies go by.",
  ),
  record,
  spool,
  storage,
  limits,
  stop,
  readOnly: Type.Boolean({
    description: "Pulls only: nothing is written to the database or the blob store, and the collector rests (as with `--read-only`).",
  }),
  allowMissingBlobs: globs(
    "Repositories whose manifests may name layers and configs that are not here (sparse images); what arrives later is held from then on.",
  ),
});
