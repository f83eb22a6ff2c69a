// The routes of /api/v1 as a table: what fastify serves and what the OpenAPI document says come from the same rows.

import { contentRoutes } from "./control/contents.ts";
import { deletionRoutes } from "./control/deletion.ts";
import { prefetchRoutes } from "./control/prefetch.ts";
import { proposalRoutes } from "./control/proposals.ts";
import { recordRoutes } from "./control/record.ts";
import { retentionRoutes } from "./control/retention.ts";
import type { ControlRoute } from "./control/route.ts";
import { runRoutes } from "./control/runs.ts";
import { upkeepRoutes } from "./control/upkeep.ts";
import { versionRoutes } from "./control/versions.ts";

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
