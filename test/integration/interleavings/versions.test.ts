import { versions } from "./operations.ts";
import { interleave } from "./tables.ts";

interleave("processes that share a database", versions);
