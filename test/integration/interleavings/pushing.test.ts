import { pushing } from "./operations.ts";
import { interleave } from "./tables.ts";

interleave("processes that share a database", pushing);
