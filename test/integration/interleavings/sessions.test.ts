// Two requests on one upload session: in one process, whose store is a folder, and in two, which share a bucket.

import { collecting, sessions } from "./operations.ts";
import { interleave } from "./tables.ts";
import { makeWorldOfSessions } from "./world.ts";

interleave("one process", sessions, { others: sessions, inOneProcess: true });
interleave("two processes", sessions, { others: [...sessions, ...collecting], world: makeWorldOfSessions });
