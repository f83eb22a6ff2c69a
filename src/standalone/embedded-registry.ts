// What `wharfinger registry --data DIR` has of its own: `wharfinger serve` without its control plane, which is the cluster's operator.

import { Obstacle } from "../domain/obstacle.ts";
import { startEmbedded, type EmbeddedOptions } from "./embedded.ts";
import { dataFlag, openDataFolder } from "./data-folder.ts";
import type { OwnParts } from "../registry/process.ts";

/** Rejects with Obstacle, also while another process has the folder. */
export async function openOwnParts(path: string, options: Omit<EmbeddedOptions, "folder">): Promise<OwnParts> {
  try {
    return await open(path, options);
  } catch (error) {
    options.signal.throwIfAborted();
    throw new Obstacle("DataFolderUnusable", (error as Error).message, { cause: error });
  }
}

async function open(path: string, options: Omit<EmbeddedOptions, "folder">): Promise<OwnParts> {
  const folder = await openDataFolder(path);
  options.closing.add(() => folder.release());
  const embedded = await startEmbedded({ ...options, folder });
  return {
    ...embedded,
    adminToken: () => folder.adminToken(),
    commandFlags: dataFlag(path),
    announce: (url) => folder.announce(url),
  };
}
