// What people pull through Upstreams, as numbers. Labels are the Upstream (`namespace/name`) and the kind alone: never a name that a client chooses.

import type { BlobReader } from "../../blobs/blob-store.ts";
import type { RemoteBody } from "../../upstream/upstream-client.ts";

export type ProxiedKind = "blob" | "manifest";

export interface ProxyMetrics {
  /** A pull that was answered: `hit` when nothing had to be fetched. */
  proxied(upstream: string, kind: ProxiedKind, result: "hit" | "miss"): void;
  /** Bytes fetched from upstream, whoever asked for them. */
  pulledBytes(upstream: string, kind: ProxiedKind, bytes: number): void;
  /** Bytes sent on to those who pull. */
  pushedBytes(upstream: string, kind: ProxiedKind, bytes: number): void;
}

/** The same transfer; `count` is told of its bytes as they arrive. */
export function countReceived(remote: RemoteBody, count: (bytes: number) => void): RemoteBody {
  const { start, size } = remote;
  return { start, size, body: counting(remote.body, count), discard: () => remote.discard() };
}

async function* counting(body: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    count(piece.byteLength);
    yield piece;
  }
}

/** The same reader; `count` is told of what is read. */
export function countSent(reader: BlobReader, count: (bytes: number) => void): BlobReader {
  return {
    size: reader.size,
    read: async (buffer, position) => {
      const bytes = await reader.read(buffer, position);
      count(bytes);
      return bytes;
    },
    close: () => reader.close(),
  };
}
