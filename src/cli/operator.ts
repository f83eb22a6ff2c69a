// wharfinger operator: resources of a cluster become what the registry serves, by way of Git.

import { readFile } from "node:fs/promises";

import { Command } from "commander";

import { parseListen, type ListenAddress } from "../config/listen.ts";
import { operatorOptions } from "../config/options/operator.ts";
import type { LogLevel } from "../observability/logger.ts";
import { namespaceOf, option, parseUrl, repeatable, parseResourceName, type WrittenName } from "./command-line.ts";

interface OperatorValues {
  readonly registry: string;
  readonly pullFrom?: string;
  readonly ca?: string;
  readonly tokenFile: string;
  readonly namespace?: readonly string[];
  readonly record: string;
  readonly credentials?: WrittenName;
  readonly listen: ListenAddress;
  readonly recordListen: ListenAddress;
  readonly kubeconfig?: string;
  readonly settings?: string;
  readonly logLevel: LogLevel;
}

export function operatorCommand(): Command {
  const { registry, pullFrom, ca, tokenFile, namespaces, record, credentials, listen, recordListen, kubeconfig, settings, logLevel } =
    operatorOptions;
  return new Command("operator")
    .description("configure a registry by the resources of a Kubernetes cluster, recorded in Git; in a pod, or with KUBECONFIG")
    .addOption(option(registry, parseUrl).makeOptionMandatory())
    .addOption(option(pullFrom, parseUrl))
    .addOption(option(ca))
    .addOption(option(tokenFile).makeOptionMandatory())
    .addOption(repeatable(namespaces, namespaceOf))
    .addOption(option(record))
    .addOption(option(credentials, parseResourceName))
    .addOption(option(listen, parseListen))
    .addOption(option(recordListen, parseListen))
    .addOption(option(kubeconfig))
    .addOption(option(settings))
    .addOption(option(logLevel))
    .action(async (values: OperatorValues) => {
      const { serveUntilToldToEnd } = await import("./process.ts");
      process.exitCode = await serveUntilToldToEnd({
        logLevel: values.logLevel,
        start: async ({ logger }) => {
          const { loadSettings } = await import("../config/load-settings.ts");
          const { openClusterAccess } = await import("../operator/kube/cluster-access.ts");
          const { startOperator } = await import("../operator/main.ts");
          const { createJobRunner } = await import("../standalone/job-runner.ts");
          const { programVersion } = await import("../config/version.ts");
          const pullFrom = values.pullFrom ?? values.registry;
          const connection = { url: values.registry, pullFrom, caFile: values.ca, tokenFile: await readable(values.tokenFile) };
          const { podEventsOf } = await import("./pod-events.ts");
          const events = await podEventsOf("operator", logger);
          const operator = await startOperator({
            ...values,
            announce: events.announce,
            access: await openClusterAccess(values.kubeconfig === undefined ? process.env : { KUBECONFIG: values.kubeconfig }),
            namespaces: values.namespace ?? [],
            settings: await loadSettings(values.settings),
            registry: connection,
            jobs: createJobRunner({ ...connection, logger }),
            version: programVersion(),
            logger,
          });
          const stop = async () => {
            await operator.stop();
            await events.close();
          };
          return { summary: operator.summary, failed: operator.failed, stop };
        },
      });
    });
}

/** It is read again for each request; what is wrong with it from the beginning is said at the start. */
async function readable(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new Error(
      `${file} with the token cannot be read (${cause.code ?? cause.message}): name the one that holds it with --token-file.`,
      { cause },
    );
  });
  if (text.trim() === "") throw new Error(`${file} should hold the token of the registry's control API, and is empty.`);
  return file;
}
