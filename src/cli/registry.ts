// wharfinger registry: one registry process of an installation, on a database and a bucket.

import { Command } from "commander";

import { parseListen, type ListenAddress } from "../config/listen.ts";
import { registryOptions } from "../config/options/registry.ts";
import { shellWord } from "../config/shell-word.ts";
import type { LogLevel } from "../observability/logger.ts";
import type { Closing } from "../registry/closing.ts";
import type { CertificateFiles } from "../registry/http/listening/certificate.ts";
import type { RunningRegistry } from "../registry/main.ts";
import { option } from "./command-line.ts";
import { CommandError } from "./failure.ts";
import type { Starting } from "./process.ts";

interface RegistryValues {
  readonly listen: ListenAddress;
  readonly controlListen?: ListenAddress;
  readonly adminListen?: ListenAddress;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly settings: string;
  readonly data?: string;
  readonly adminTokenFile?: string;
  readonly secrets?: string;
  readonly logLevel: LogLevel;
  readonly allowAnonymous?: boolean;
  readonly acceptStore?: boolean;
  readonly readOnly?: boolean;
}

export function registryCommand(): Command {
  const {
    listen,
    controlListen,
    adminListen,
    tlsCertificate,
    tlsKey,
    settings,
    data,
    adminTokenFile,
    secrets,
    logLevel,
    allowAnonymous,
    acceptStore,
    readOnly,
  } = registryOptions;
  return new Command("registry")
    .description(
      "serve as one of any number of equal registry processes, on a PostgreSQL database and a bucket; or alone, with both in a folder",
    )
    .addOption(option(listen, parseListen))
    .addOption(option(controlListen, parseListen))
    .addOption(option(adminListen, parseListen))
    .addOption(option(tlsCertificate))
    .addOption(option(tlsKey))
    .addOption(option(settings).makeOptionMandatory())
    .addOption(option(data))
    .addOption(option(adminTokenFile))
    .addOption(option(secrets))
    .addOption(option(logLevel))
    .addOption(option(allowAnonymous))
    .addOption(option(acceptStore))
    .addOption(option(readOnly))
    .action(async (values: RegistryValues) => {
      const { serveUntilToldToEnd } = await import("./process.ts");
      process.exitCode = await serveUntilToldToEnd({
        logLevel: values.logLevel,
        start: async ({ logger, ...part }) => {
          const { loadSettings } = await import("../config/load-settings.ts");
          const loaded = await loadSettings(values.settings, { role: values.data === undefined ? "registry" : "embedded" });
          const settings = { ...loaded, readOnly: values.readOnly ?? loaded.readOnly };
          const { startRegistryProcess } = await import("../registry/process.ts");
          const { programVersion } = await import("../config/version.ts");
          const version = programVersion();
          const { podEventsOf } = await import("./pod-events.ts");
          const events = await podEventsOf("registry", logger);
          const registry = await startRegistryProcess({
            ...values,
            ...tlsOf(values),
            settings,
            ownParts: await ownPartsIn(values.data, { logger, ...part }),
            signal: part.signal,
            announce: events.announce,
            allowAnonymous: values.allowAnonymous === true,
            acceptStore: values.acceptStore === true,
            commandFlags: ` --settings ${shellWord(values.settings)}`,
            version,
            logger,
          });
          const { delay, grace } = settings.stop;
          const stop = async () => {
            await registry.stop();
            await events.close();
          };
          return { summary: summaryOf(registry), stop, failed: registry.failed, grace: delay + grace };
        },
      });
    });
}

/** Throws an Error where one of two files is named. */
function tlsOf({ tlsCertificate, tlsKey }: RegistryValues): { readonly tls?: CertificateFiles } {
  if (tlsCertificate === undefined && tlsKey === undefined) return {};
  if (tlsCertificate === undefined || tlsKey === undefined)
    throw new CommandError("TLS needs both files: --tls-certificate and --tls-key.");
  return { tls: { certificateFile: tlsCertificate, keyFile: tlsKey } };
}

function summaryOf({ url, controlUrl, adminUrl }: RunningRegistry): string {
  const control = controlUrl === url ? "" : `; the control API on ${controlUrl}`;
  const admin = adminUrl === undefined ? "" : `; probes and metrics on ${adminUrl}`;
  return `Serving on ${url}${control}${admin}.`;
}

async function ownPartsIn(data: string | undefined, part: Starting) {
  if (data === undefined) return undefined;
  const { openOwnParts } = await import("../standalone/embedded-registry.ts");
  return (closing: Closing) => openOwnParts(data, { ...part, closing });
}
