// What `#failpoints` is unless a process is started with `--conditions=failpoints` (package.json, `imports`): nothing happens anywhere.

import type { Failpoint } from "./names.ts";

export function failpoint(_name: Failpoint): Promise<void> | undefined {
  return undefined;
}
