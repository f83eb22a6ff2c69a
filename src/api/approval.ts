// How a person lets a plan run that a limit stopped: by the command line, or where the policy is written. Said in one way wherever it is said.

import { annotations } from "./conditions.ts";

/** Reads on after "To approve it, ". `policy`: namespace/name. */
export function howToApprove({ id, policy }: { readonly id: string; readonly policy: string }): string {
  return `run \`npx wharfinger job prune --policy ${policy} --approve ${id}\`, or set the annotation ${annotations.approvePlan}: ${id} on RetentionPolicy ${policy}`;
}
