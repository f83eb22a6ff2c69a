// `stop`: how a process goes while clients are at it.

import { duration, group, most } from "./fields.ts";

/** Timers that are longer than 24.8 days end at once. */
const longest = { [most]: 24 * 3_600_000 };

export const stop = group(
  {
    delay: duration(
      "How long a process that is told to end is not ready any more and goes on taking connections, each for one answer: until whoever sends clients has noticed. Some seconds behind a Service or a load balancer.",
      longest,
    ),
    grace: duration(
      "How long transfers that are under way then may go on. What takes longer is cut. The rest of a stop takes 20s at most.",
      longest,
    ),
  },
  "How a process goes while clients are at it.",
);
