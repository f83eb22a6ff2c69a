import { expect, test } from "vitest";

import { controlRoutes } from "./control-routes.ts";
import { openApiDocument } from "./openapi.ts";

// Written anew by `npm run unit -- --project unit --update=all src/registry/http/control/openapi.test.ts`.
test("docs/reference/openapi.json is what the routes say", async () => {
  await expect(`${JSON.stringify(openApiDocument(), null, 2)}\n`).toMatchFileSnapshot("../../../../docs/reference/openapi.json");
});

test("every route has its own operation", () => {
  const { paths } = openApiDocument() as { paths: Record<string, Record<string, { operationId: string }>> };
  const ids = Object.values(paths).flatMap((operations) => Object.values(operations).map(({ operationId }) => operationId));
  expect(ids).toHaveLength(controlRoutes.length);
  expect(new Set(ids).size).toBe(ids.length);
});
