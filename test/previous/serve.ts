// A registry of the version before, as a process: node serve.ts SOURCE DATABASE-URL BLOB-FOLDER GC-TIMES. It knows only what that version knew.

import { join } from "node:path";

/** What it exported, as far as it is used here. */
interface Previous {
  readonly startRegistry: (options: object) => Promise<{ readonly url: string; stop(): Promise<void> }>;
}

const [source = "", databaseUrl, blobFolder, gc = "{}"] = process.argv.slice(2);
const load = async <Module>(file: string) => (await import(join(source, file))) as Module;
const { startRegistry } = await load<Previous>("src/registry/main.ts");
const { defaultSettings } = await load<{ defaultSettings: { readonly backup: object } }>("src/config/settings.ts");
const { createLogger } = await load<{ readonly createLogger: (options: object) => object }>("src/observability/logger.ts");

const registry = await startRegistry({
  database: { url: databaseUrl },
  blobs: { folder: blobFolder },
  listen: { host: "127.0.0.1", port: 0 },
  // Without snapshots, which would keep bytes for days.
  settings: { ...defaultSettings, gc: JSON.parse(gc) as object, backup: { ...defaultSettings.backup, interval: 0 } },
  secrets: { secret: () => undefined, configMap: () => undefined, onChange: () => () => undefined },
  adminToken: "test-admin-token",
  pod: "previous",
  openOnLoopback: true,
  allowAnonymous: false,
  version: "0.0.0-previous",
  logger: createLogger({ level: "warn" }),
});
process.stdout.write(`ready ${registry.url}\n`);
process.once("SIGTERM", () => void registry.stop().then(() => process.exit(0)));
