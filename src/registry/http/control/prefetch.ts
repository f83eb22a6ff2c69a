// Images brought in ahead of need.

import { PrefetchRequest, PrefetchResult } from "../../../api/control/prefetch.ts";
import { withBody, type ControlRoute } from "./route.ts";

export const prefetchRoutes: readonly ControlRoute[] = [
  withBody({
    method: "POST",
    path: "prefetch",
    summary: "Bring an image in before it is needed",
    who: "tag-sync",
    about: ({ body, nameOf }) => ({ repository: nameOf(body.repository) ?? "" }),
    body: PrefetchRequest,
    answer: PrefetchResult,
    handle: ({ body }, { prefetch }) => prefetch(body),
  }),
];
