// The routes of /api/v1 as a table: what fastify serves and what the OpenAPI document says come from the same rows.

import { contentRoutes } from "./contents.ts";
import { deletionRoutes } from "./deletion.ts";
import { prefetchRoutes } from "./prefetch.ts";
import { proposalRoutes } from "./proposals.ts";
import { recordRoutes } from "./record.ts";
import { retentionRoutes } from "./retention.ts";
import type { ControlRoute } from "./route.ts";
import { runRoutes } from "./runs.ts";
import { upkeepRoutes } from "./upkeep.ts";
import { versionRoutes } from "./versions.ts";

export const controlRoutes: readonly ControlRoute[] = [
  ...recordRoutes,
  ...runRoutes,
  ...proposalRoutes,
  ...versionRoutes,
  ...retentionRoutes,
  ...prefetchRoutes,
  ...deletionRoutes,
  ...upkeepRoutes,
  ...contentRoutes,
];
