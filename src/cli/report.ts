// wharfinger report: tells a registry which images a cluster uses.

import { Command } from "commander";

import { localUrl, parseListen, type ListenAddress } from "../config/listen.ts";
import { reportOptions } from "../config/options/operator.ts";
import type { LogLevel } from "../observability/logger.ts";
import type { ReporterProcessOptions } from "../reporter/main.ts";
import { namespaceOf, option, parseUrl, repeatable } from "./command-line.ts";
import { CommandError, explain } from "./failure.ts";
import { note } from "./output.ts";

interface ReportValues extends Omit<ReporterProcessOptions, "namespaces" | "logger"> {
  readonly namespace?: readonly string[];
  readonly adminListen?: ListenAddress;
  readonly once?: boolean;
  readonly logLevel: LogLevel;
}

export function reportCommand(): Command {
  const { registry, ca, tokenFile, cluster, kubeconfig, namespace, adminListen, once, logLevel } = reportOptions;
  return new Command("report")
    .description("tell a registry which images a cluster uses, so that retention keeps them")
    .addOption(option(registry, parseUrl).makeOptionMandatory())
    .addOption(option(tokenFile).makeOptionMandatory())
    .addOption(option(ca))
    .addOption(option(cluster).makeOptionMandatory())
    .addOption(option(kubeconfig))
    .addOption(repeatable(namespace, namespaceOf))
    .addOption(option(adminListen, parseListen))
    .addOption(option(once))
    .addOption(option(logLevel))
    .addHelpText(
      "after",
      "\nIt reads pods, replicasets, controllerrevisions, deployments, statefulsets, daemonsets, jobs and cronjobs (list; watch for pods). Without rights for the" +
        "\nwhole cluster it reports the namespace of its credentials. Exit codes of --once: 0 a whole report was taken, 1 not, 2 wrong usage.",
    )
    .action(async ({ namespace = [], adminListen, once, logLevel, ...values }: ReportValues) => {
      const { createReporter } = await import("../reporter/main.ts");
      const options = { ...values, namespaces: namespace };
      if (once === true) await reportOnce(options, logLevel);
      else {
        const { serveUntilToldToEnd } = await import("./process.ts");
        process.exitCode = await serveUntilToldToEnd({
          logLevel,
          start: async ({ logger }) => {
            const { startReporterProbes } = await import("../reporter/probes.ts");
            const { programVersion } = await import("../config/version.ts");
            const { podEventsOf } = await import("./pod-events.ts");
            const events = await podEventsOf("reporter", logger);
            const reporter = createReporter({ ...options, announce: events.announce, logger });
            const probes = adminListen && (await startReporterProbes({ reporter, listen: adminListen, version: programVersion() }));
            const stop = new AbortController();
            const running = reporter.run(stop.signal);
            const where = adminListen && probes ? `; probes and metrics on ${localUrl({ ...adminListen, port: probes.port })}` : "";
            return {
              summary: `Reporting what cluster ${options.cluster} uses to ${options.registry}${where}.`,
              stop: async () => {
                stop.abort();
                await running;
                await probes?.stop();
                await events.close();
              },
            };
          },
        });
      }
    });
}

async function reportOnce(options: Omit<ReporterProcessOptions, "logger">, logLevel: LogLevel): Promise<void> {
  const { createReporter } = await import("../reporter/main.ts");
  const { createLogger } = await import("../observability/logger.ts");
  const { registry, tokenFile } = options;
  const { scope, heard, problem } = await createReporter({ ...options, logger: createLogger({ level: logLevel }) })
    .once()
    .catch((error: unknown) => {
      throw explain(error, { url: registry, tokenFrom: tokenFile });
    });
  if (problem !== undefined) throw new CommandError(`The report is not whole, so it does not count: ${problem}`);
  const covered = scope === "Cluster" ? "the whole cluster" : `namespace ${scope.join(", ")}`;
  note(`reported ${heard.images} images: ${covered}`);
}
