// What somebody names as a source: `s3://bucket/prefix`, `https://host`, or a folder.

import { stat } from "node:fs/promises";

import { SourceError, type ImportSource } from "./import-source.ts";
import { findLogin, type LoginPlaces } from "./login.ts";
import { RegistryLayout } from "./registry-layout.ts";

export interface SourceOptions {
  /** Of the S3 service; undefined: AWS. */
  readonly endpoint?: string;
  readonly region?: string;
  readonly allowedHosts: readonly string[];
  readonly login: LoginPlaces;
  readonly concurrency: number;
}

/** Rejects with SourceError that says what to do. */
export async function openSource(text: string, options: SourceOptions): Promise<ImportSource> {
  if (/^s3:/i.test(text)) return openBucket(text, options);
  if (/^https?:/i.test(text)) return openRegistry(text, options);
  return openFolder(text);
}

async function openFolder(folder: string): Promise<ImportSource> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true) {
    const hint = /^[\w.-]+(:\d+)?$/.test(folder) && folder.includes(".") ? ` A running registry is written https://${folder}.` : "";
    const forms = /^[a-z][\w+.-]*:\/\//i.test(folder) ? " A source is a folder, s3://bucket/prefix, or https://host." : "";
    throw new SourceError("Unusable", `There is no folder ${folder}.${hint}${forms}`);
  }
  const { FolderTree } = await import("./folder-tree.ts");
  return RegistryLayout.open(new FolderTree(folder.replace(/(?<=.)\/+$/, "")));
}

async function openBucket(text: string, { endpoint, region, concurrency }: SourceOptions): Promise<ImportSource> {
  const match = /^s3:\/\/([^/?#@]+)(?:\/([^?#]*))?$/i.exec(text);
  if (match === null) throw new SourceError("Unusable", "Write s3://bucket or s3://bucket/prefix.");
  const [, bucket = "", path = ""] = match;
  const prefix = path.replace(/\/+$/, "");
  // Loaded only now, and the SDK with it.
  const { BucketTree } = await import("./bucket-tree.ts");
  const tree = await BucketTree.connect({
    bucket,
    prefix: prefix === "" ? "" : `${prefix}/`,
    region: region ?? "us-east-1",
    ...(endpoint === undefined ? {} : { endpoint }),
    // Services other than AWS rarely have a name for every bucket.
    forcePathStyle: endpoint !== undefined,
    connections: concurrency,
  });
  try {
    return await RegistryLayout.open(tree);
  } catch (error) {
    await tree.close();
    throw error;
  }
}

async function openRegistry(text: string, { allowedHosts, login }: SourceOptions): Promise<ImportSource> {
  const url = URL.parse(text);
  if (url === null || url.host === "") throw new SourceError("Unusable", `Write https://host or https://host:port, not ${text}.`);
  if (url.username !== "" || url.password !== "")
    throw new SourceError(
      "Unusable",
      "An address with a user name in it would be seen by everybody on the machine. Use WHARFINGER_SOURCE_USERNAME and WHARFINGER_SOURCE_PASSWORD, or docker login.",
    );
  if (url.pathname.replace(/^\/v2\/?$/, "/") !== "/" || url.search !== "")
    throw new SourceError("Unusable", `Write ${url.origin} alone, and name repositories with --repository.`);
  const { RunningRegistry } = await import("./running-registry.ts");
  return RunningRegistry.open({ url, allowedHosts, ...(await findLogin(url, login)) });
}
