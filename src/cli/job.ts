// wharfinger job: one run of one policy's job, by hand or in the Pod of a Job. The job runs here, as a client of the registry.

import { Command } from "commander";

import { failedAndTold } from "../api/job-pods.ts";
import { jobOptions } from "../config/options/operator.ts";
import type { TagSyncResult } from "../jobs/tag-sync.ts";
import type { JobKind } from "../operator/ports.ts";
import { askDirect, directCommand, fullName, option, parseResourceName, parseUrl, type WrittenName } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import { note, printResult } from "./output.ts";
import { renderPruned, renderSynced } from "./render/job.ts";

export function jobCommand(): Command {
  return new Command("job")
    .description("run a job now, here, instead of waiting for its schedule (in a cluster: `reconcile`)")
    .addCommand(
      kindCommand("tag-sync", {
        description: "look for versions of the images of a TagPolicy",
        render: renderSynced,
        failed: nothingSettled,
      }).addHelpText(
        "after",
        "\nExit codes: 0 when the run ended and at least one image has no failure, 1 when the run could not be done or every image failed,\n2 wrong usage. Which images failed, and why, is in the result (-o json: images.failed, failures).",
      ),
    )
    .addCommand(
      kindCommand("prune", { description: "plan, and with `action: Delete` delete, by a RetentionPolicy", render: renderPruned }).option(
        "--approve <plan>",
        "apply exactly this plan, which was stopped and which somebody has read",
      ),
    );
}

interface JobValues {
  readonly policy: WrittenName;
  readonly approve?: string;
  readonly registry?: string;
  readonly pullFrom?: string;
  readonly ca?: string;
  readonly tokenFile?: string;
  readonly ownRun?: boolean;
}

interface PodValues {
  readonly kind: JobKind;
  /** namespace/name */
  readonly policy: string;
  readonly approve: string | undefined;
  readonly registry: string | undefined;
  readonly pullFrom: string | undefined;
  readonly ca: string | undefined;
  readonly tokenFile: string | undefined;
}

interface JobForm {
  readonly description: string;
  readonly render: (result: never) => string;
  /** Whether a run that ended well did nothing of what it was for. */
  readonly failed?: (result: never) => boolean;
}

function kindCommand(kind: JobKind, { description, render, failed = () => false }: JobForm): Command {
  return directCommand(kind, description)
    .requiredOption("--policy <namespace/name>", "the policy", parseResourceName)
    .addOption(option(jobOptions.pullFrom, parseUrl))
    .addOption(option(jobOptions.ownRun))
    .action(async ({ policy, approve, registry, pullFrom, ca, tokenFile, ownRun }: JobValues, command: Command) => {
      if (ownRun === true) return runInPod({ kind, policy: fullName(policy, "default"), approve, registry, pullFrom, ca, tokenFile });
      return askDirect(command, async ({ url, token, namespace }, output) => {
        const { createJobRunner } = await import("../standalone/job-runner.ts");
        const { createLogger } = await import("../observability/logger.ts");
        const signal = interruption("interrupted");
        const runner = createJobRunner({
          url,
          caFile: ca,
          ...(pullFrom === undefined ? {} : { pullFrom }),
          token,
          logger: createLogger({ level: "warn" }),
          progress: note,
        });
        const request = {
          kind,
          policy: fullName(policy, namespace),
          trigger: "manual",
          ...(approve === undefined ? {} : { approve }),
        } as const;
        const { succeeded, message, result } = await runner.run(request, signal);
        // Somebody who watches has read each line as it happened: the table says the same once more.
        const read = output === "table" && process.stdout.isTTY && process.stderr.isTTY;
        if (result !== undefined && !read) await printResult(output, result, (value) => render(value as never));
        if (!succeeded || (result !== undefined && failed(result as never))) throw new CommandError(message);
        note(message);
      });
    });
}

/** In the Pod of a Job: whose run this is, and which plan is approved, the registry says. */
async function runInPod({ kind, policy, approve, registry, pullFrom, ca, tokenFile }: PodValues): Promise<void> {
  if (registry === undefined || tokenFile === undefined) throw new CommandError("--own-run needs --registry and --token-file.");
  if (approve !== undefined) throw new CommandError("--approve is for runs by hand: a Pod applies the plan that was approved for its run.");
  const { runPodJob } = await import("../jobs/main.ts");
  const signal = interruption("its Pod was told to end: deleted, evicted, or past jobs.deadline");
  const { succeeded, told, message } = await runPodJob({
    kind,
    policy,
    url: registry,
    pullFrom: pullFrom ?? registry,
    caFile: ca,
    tokenFile,
    signal,
    progress: note,
  });
  if (!succeeded && !told) throw new CommandError(message);
  note(message);
  if (!succeeded) process.exitCode = failedAndTold;
}

/** Ends the run as failed rather than leaving it to time out. */
function interruption(why: string): AbortSignal {
  const stop = new AbortController();
  const interrupt = () => stop.abort(new Error(why));
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  return stop.signal;
}

/** No image is better off than before, and for each somebody has to do something. */
function nothingSettled({ images }: TagSyncResult): boolean {
  return images.total > 0 && images.failed === images.total;
}
