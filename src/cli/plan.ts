// wharfinger plan: keep or delete, and why, for each tag. Deletes nothing.

import type { Command } from "commander";

import { ask, clientCommand, fullName, parseResourceName, type WrittenName } from "./command-line.ts";
import { printResult } from "./output.ts";
import { renderPlan } from "./render/plan.ts";

export function planCommand(): Command {
  return clientCommand("plan", "show what a RetentionPolicy would keep and delete, and why; deletes nothing")
    .argument("<policy>", "namespace/name of the RetentionPolicy", parseResourceName)
    .option("--all", "list also untagged manifests that only follow what they belong to", false)
    .action((policy: WrittenName, { all }: { all: boolean }, command: Command) =>
      ask(command, async ({ control, namespace }, output) =>
        printResult(output, await control.plan(fullName(policy, namespace)), (plan) => renderPlan(plan, { all })),
      ),
    );
}
