// wharfinger registry: one registry process of an installation, on a database and a bucket.

import { Command } from "commander";

import { parseListen, type ListenAddress } from "../config/listen.ts";
import { registryOptions } from "../config/options/registry.ts";
import { shellWord } from "../config/shell-word.ts";
import type { LogLevel } from "../observability/logger.ts";
import { option } from "./command-line.ts";

interface RegistryValues {
  readonly listen: ListenAddress;
  readonly settings: string;
  readonly adminTokenFile: string;
  readonly secrets?: string;
  readonly logLevel: LogLevel;
  readonly allowAnonymous?: boolean;
  readonly acceptStore?: boolean;
  readonly readOnly?: boolean;
}

export function registryCommand(): Command {
  const { listen, settings, adminTokenFile, secrets, logLevel, allowAnonymous, acceptStore, readOnly } = registryOptions;
  return new Command("registry")
    .description("serve as one of any number of equal registry processes, on a PostgreSQL database and a bucket")
    .addOption(option(listen, parseListen))
    .addOption(option(settings).makeOptionMandatory())
    .addOption(option(adminTokenFile).makeOptionMandatory())
    .addOption(option(secrets))
    .addOption(option(logLevel))
    .addOption(option(allowAnonymous))
    .addOption(option(acceptStore))
    .addOption(option(readOnly))
    .action(async (values: RegistryValues) => {
      const { serveUntilToldToEnd } = await import("./process.ts");
      process.exitCode = await serveUntilToldToEnd({
        logLevel: values.logLevel,
        start: async ({ logger }) => {
          const { loadSettings } = await import("../config/load-settings.ts");
          const loaded = await loadSettings(values.settings);
          const settings = { ...loaded, readOnly: values.readOnly ?? loaded.readOnly };
          const { startRegistryProcess } = await import("../registry/process.ts");
          const { programVersion } = await import("../config/version.ts");
          const version = programVersion();
          const registry = await startRegistryProcess({
            ...values,
            settings,
            allowAnonymous: values.allowAnonymous === true,
            acceptStore: values.acceptStore === true,
            commandFlags: ` --settings ${shellWord(values.settings)}`,
            version,
            logger,
          });
          return { summary: `Serving on ${registry.url}.`, stop: () => registry.stop() };
        },
      });
    });
}
