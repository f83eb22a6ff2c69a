// wharfinger job: one run of one policy's job, by hand. The job runs here, as a client of the registry.

import { Command } from "commander";

import type { JobKind } from "../operator/ports.ts";
import { ask, clientCommand, parseResourceName } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult } from "./output.ts";
import { renderPruned, renderSynced } from "./render/job.ts";

export function jobCommand(): Command {
  return new Command("job")
    .description("run a job now instead of waiting for its schedule")
    .addCommand(kindCommand("tag-sync", { description: "look for versions of the images of a TagPolicy", render: renderSynced }))
    .addCommand(
      kindCommand("prune", { description: "plan, and with `action: Delete` delete, by a RetentionPolicy", render: renderPruned }).option(
        "--approve <plan>",
        "apply exactly this plan, which was stopped and which somebody has read",
      ),
    );
}

function kindCommand(kind: JobKind, { description, render }: { description: string; render: (result: never) => string }): Command {
  return clientCommand(kind, description)
    .requiredOption("--policy <namespace/name>", "the policy", parseResourceName)
    .action(({ policy, approve }: { policy: string; approve?: string }, command: Command) =>
      ask(command, async ({ url, token }, output) => {
        const { createJobRunner } = await import("../standalone/job-runner.ts");
        const { createLogger } = await import("../observability/logger.ts");
        // Ctrl-C ends the run as failed rather than leaving it to time out.
        const stop = new AbortController();
        const interrupt = () => stop.abort(new Error("interrupted"));
        process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
        const runner = createJobRunner({ url, token, logger: createLogger({ level: "warn" }), progress: note });
        const request = { kind, policy, trigger: "manual", ...(approve === undefined ? {} : { approve }) } as const;
        const { succeeded, message, result } = await runner.run(request, stop.signal);
        if (result !== undefined) await printResult(output, result, (value) => render(value as never));
        if (!succeeded) throw new CommandError(message);
        note(message);
      }),
    );
}
