// wharfinger serve: everything in one process.

import { Command } from "commander";

import { parseListen, type ListenAddress } from "../config/listen.ts";
import { serveOptions } from "../config/options/registry.ts";
import type { LogLevel } from "../observability/logger.ts";
import { option } from "./command-line.ts";

interface ServeValues {
  readonly listen: ListenAddress;
  readonly data: string;
  readonly config?: string;
  readonly settings?: string;
  readonly logLevel: LogLevel;
  readonly allowAnonymous?: boolean;
  readonly acceptStore?: boolean;
  readonly readOnly?: boolean;
}

export function serveCommand(): Command {
  const command = new Command("serve").description(
    "serve a registry from this machine: registry, control plane, jobs and database in one process",
  );
  command.addOption(option(serveOptions.listen, parseListen));
  for (const definition of [
    serveOptions.data,
    serveOptions.config,
    serveOptions.settings,
    serveOptions.logLevel,
    serveOptions.allowAnonymous,
    serveOptions.acceptStore,
    serveOptions.readOnly,
  ])
    command.addOption(option(definition));
  return command.action(async (values: ServeValues) => {
    const { serveUntilToldToEnd } = await import("./process.ts");
    process.exitCode = await serveUntilToldToEnd({
      logLevel: values.logLevel,
      start: async (part) => {
        const { loadSettings } = await import("../config/load-settings.ts");
        const loaded = await loadSettings(values.settings, { role: "serve" });
        const settings = { ...loaded, readOnly: values.readOnly ?? loaded.readOnly };
        const { startStandalone } = await import("../standalone/standalone.ts");
        const { programVersion } = await import("../config/version.ts");
        const allowAnonymous = values.allowAnonymous === true;
        const acceptStore = values.acceptStore === true;
        const running = await startStandalone({ ...values, settings, allowAnonymous, acceptStore, ...part, version: programVersion() });
        return { ...running, grace: settings.stop.delay + settings.stop.grace };
      },
    });
  });
}
