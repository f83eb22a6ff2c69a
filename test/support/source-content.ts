// What is in a registry that is imported: pushed by crane and, where crane has no word for it, as oras does it, over the API.

import { Readable } from "node:stream";

import { PushClient } from "../../src/client/push-client.ts";
import { digestOf, hexOf } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import type { Pushed, SourceContent } from "../../src/import/import-source.conformance.ts";
import { pushImage, pushIndex } from "./images.ts";

export interface ManifestParts {
  readonly layers?: readonly { readonly bytes: string | Uint8Array; readonly mediaType?: string; readonly absent?: true }[];
  readonly config?: string;
  readonly subject?: Pushed;
  readonly tag?: string;
  /** Left out, as OCI allows. */
  readonly saysType?: false;
}

/** Pushes one manifest with its blobs. */
export async function pushManifest(registry: string, repository: string, parts: ManifestParts): Promise<Pushed> {
  const client = new PushClient({ url: registry });
  try {
    const config = await pushBlob(client, repository, parts.config ?? "{}");
    const layers = [];
    for (const { bytes, mediaType = "application/vnd.oci.image.layer.v1.tar", absent } of parts.layers ?? []) {
      const descriptor = absent === true ? describe(Buffer.from(bytes)) : await pushBlob(client, repository, bytes);
      layers.push({ mediaType, ...descriptor, ...(absent === true ? { urls: ["https://layers.example.com/one"] } : {}) });
    }
    const document = {
      schemaVersion: 2,
      ...(parts.saysType === false ? {} : { mediaType: mediaTypes.ociManifest }),
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers,
      ...(parts.subject === undefined ? {} : { subject: { mediaType: mediaTypes.ociManifest, ...parts.subject } }),
    };
    return await putManifest(client, repository, { document, mediaType: mediaTypes.ociManifest, tag: parts.tag });
  } finally {
    await client.destroy();
  }
}

/** Pushes an index of manifests; they need not be there. */
export async function pushList(registry: string, repository: string, children: readonly Pushed[], tag?: string): Promise<Pushed> {
  const client = new PushClient({ url: registry });
  try {
    const manifests = children.map((child) => ({ mediaType: mediaTypes.ociManifest, ...child }));
    const document = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
    return await putManifest(client, repository, { document, mediaType: mediaTypes.ociIndex, tag });
  } finally {
    await client.destroy();
  }
}

async function putManifest(
  client: PushClient,
  repository: string,
  { document, mediaType, tag }: { document: unknown; mediaType: string; tag: string | undefined },
): Promise<Pushed> {
  const bytes = Buffer.from(JSON.stringify(document));
  const pushed = describe(bytes);
  await client.putManifest(repository, { ...pushed, mediaType, bytes }, tag === undefined ? {} : { tag });
  return pushed;
}

async function pushBlob(client: PushClient, repository: string, content: string | Uint8Array): Promise<Pushed> {
  const bytes = Buffer.from(content);
  const pushed = describe(bytes);
  if (await client.hasBlob(repository, pushed.digest)) return pushed;
  const location = await client.mountOrStart(repository, pushed.digest);
  if (location !== undefined)
    await client.upload(location, pushed.digest, { start: 0, size: bytes.byteLength, body: Readable.from([bytes]) });
  return pushed;
}

const describe = (bytes: Uint8Array): Pushed => ({ digest: digestOf(bytes), size: bytes.byteLength });

/** Fills an empty registry at `url`. */
export async function fillSource(url: string): Promise<SourceContent> {
  const { host } = new URL(url);
  const image = await pushImage({ reference: `${host}/team/app:1.0`, content: "one" });
  const index = await pushIndex({ reference: `${host}/team/app:multi`, content: "many", platforms: ["linux/amd64", "linux/arm64"] });
  const layer = Buffer.alloc(300_000, "wharfinger");
  const tool = await pushManifest(url, "team/deep/er/tool", { layers: [{ bytes: layer }], tag: "v1", saysType: false });
  const attached = await pushManifest(url, "team/deep/er/tool", { layers: [{ bytes: "a signature" }], subject: tool });
  const fallback = `sha256-${hexOf(tool.digest)}`;
  await pushList(url, "team/deep/er/tool", [attached], fallback);
  const untagged = await pushManifest(url, "team/deep/er/tool", { config: '{"nobody":"names me"}' });
  const deleted = await pushManifest(url, "team/deep/er/tool", { config: '{"I":"was deleted"}' });
  const gone = await fetch(`${url}/v2/team/deep/er/tool/manifests/${deleted.digest}`, { method: "DELETE" });
  if (gone.status !== 202) throw new Error(`DELETE answered ${gone.status}`);
  const foreign = {
    bytes: "a layer of somebody else's",
    mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    absent: true,
  } as const;
  await pushManifest(url, "win", { layers: [foreign, { bytes: layer }], tag: "ltsc" });
  return {
    image,
    index: index.digest,
    children: Object.values(index.children),
    tool,
    attached,
    untagged,
    deleted: deleted.digest,
    layer,
    tags: {
      "team/app": ["1.0", "multi", "part-linux-amd64", "part-linux-arm64"],
      "team/deep/er/tool": [fallback, "v1"],
      win: ["ltsc"],
    },
  };
}
