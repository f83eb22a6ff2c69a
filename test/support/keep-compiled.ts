// A worker is killed when its files are done, and what it has compiled would go with it: the next one finds it (./global-compile-cache.ts).

import { flushCompileCache } from "node:module";

import { afterAll } from "vitest";

afterAll(() => flushCompileCache());
