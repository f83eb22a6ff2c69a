// wharfinger restore-metadata: a lost database comes back from a snapshot in the store. It asks no registry: there is none without a database.

import { Command } from "commander";

import { restoreMetadataOptions } from "../config/options/registry.ts";
import type { StoredSnapshot } from "../registry/services/upkeep/snapshot-manifest.ts";
import { option } from "./command-line.ts";
import { note, progressLine } from "./output.ts";

interface RestoreMetadataValues {
  readonly snapshot?: string;
  readonly settings?: string;
  readonly data: string;
}

export function restoreMetadataCommand(): Command {
  const { snapshot, settings, data } = restoreMetadataOptions;
  return new Command("restore-metadata")
    .description("fill an empty database from a snapshot in the store, while no registry runs on either")
    .addOption(option(snapshot))
    .addOption(option(settings))
    .addOption(option(data))
    .action(async (values: RestoreMetadataValues) => {
      const restored = await restore(values);
      progressLine("");
      note(
        `Restored ${restored.name}, taken at ${restored.manifest.takenAt}. What was stored after that is not known to the database. ` +
          "Start the registry, then run `npx wharfinger audit --adopt`: until then nothing is deleted in the store.",
      );
    });
}

/** With a database in the settings it is an installation of `wharfinger registry`, else one of `wharfinger serve`. */
async function restore({ snapshot, settings: file, data }: RestoreMetadataValues): Promise<StoredSnapshot> {
  const { loadSettings } = await import("../config/load-settings.ts");
  const settings = await loadSettings(file);
  const onTable = ({ table, done, total }: { table: string; done: number; total: number }) => progressLine(`${table}: ${done} of ${total}`);
  const options = { settings, onTable, ...(snapshot === undefined ? {} : { snapshot }) };
  const { url, urlFile } = settings.database;
  if (url !== undefined || urlFile !== undefined) {
    const { restoreInstallation } = await import("../registry/restore-installation.ts");
    return restoreInstallation(options);
  }
  await loadSettings(file, { role: "serve" }); // a bucket without its database is no installation of either
  const { restoreStandalone } = await import("../standalone/restore-standalone.ts");
  return restoreStandalone({ ...options, data });
}
