// Deleting by hand, and taking it back.

import { DeleteRequest, DeleteResult, RestoreRequest, RestoreResult } from "../../../api/control/deletion.ts";
import { withBody, type ControlRoute } from "./route.ts";

export const deletionRoutes: readonly ControlRoute[] = [
  withBody({
    method: "POST",
    path: "delete",
    summary: "Delete a tag or a manifest; with purge its bytes as well, at once and for good",
    who: "admin",
    writes: "TakeAway",
    body: DeleteRequest,
    answer: DeleteResult,
    handle: ({ body, caller }, services) => services.delete(body, caller),
  }),
  withBody({
    method: "POST",
    path: "restore",
    summary: "Bring back what was deleted and not collected yet",
    who: "admin",
    body: RestoreRequest,
    answer: RestoreResult,
    handle: ({ body, caller }, { restore }) => restore(body, caller),
  }),
];
