// Every program the tests drive is there before the first of them runs: building one takes minutes, which no test's own time limit allows for.

import { ensureTools } from "./tools.ts";

export default async function setup(): Promise<void> {
  await ensureTools();
}
