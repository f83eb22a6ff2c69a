import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, get, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import type { BlobReader } from "../../blobs/blob-store.ts";
import { FolderBlobStore } from "../../blobs/folder-store.ts";
import { BlobBuffers } from "./blob-buffers.ts";
import { sendBlob } from "./blob-sender.ts";

const megabyte = 1024 * 1024;
const bytes = randomBytes(3 * megabyte + 17);
let key: string;
const sha = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

let folder: string;
let store: FolderBlobStore;
let server: Server | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sender-"));
  store = await FolderBlobStore.open({ folder });
  const writer = await store.create(async () => undefined);
  await writer.write([bytes]);
  key = await writer.commit();
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A reader that tells when it was closed. */
function watched(reader: BlobReader): { reader: BlobReader; closed: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    closed: promise,
    reader: {
      size: reader.size,
      read: (buffer, position) => reader.read(buffer, position),
      close: async () => {
        await reader.close();
        resolve();
      },
    },
  };
}

/** Serves one part of a reader to everybody; resolves with the port, and collects what sendBlob rejected with. */
async function serve(
  open: () => Promise<BlobReader>,
  part: { start: number; length: number },
  stallTimeout = 60_000,
): Promise<{ port: number; failures: unknown[] }> {
  const failures: unknown[] = [];
  const buffers = new BlobBuffers();
  server = createServer((_, response) => {
    void (async () => {
      try {
        const writeHead = () => response.writeHead(200, { "content-length": part.length });
        await sendBlob(response, writeHead, { reader: await open(), ...part }, { buffers, stallTimeout });
      } catch (error) {
        failures.push(error);
        response.destroy();
      }
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, failures };
}

async function download(port: number): Promise<{ status: number; body: Buffer }> {
  const [response] = (await once(get({ port, host: "127.0.0.1", agent: false }), "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
}

describe("sendBlob", () => {
  test.each([
    ["whole, several buffers", 0, bytes.length],
    ["a part in the middle", megabyte - 1, megabyte + 2],
    ["small, in one write", 5, 100],
    ["exactly one buffer", 0, 256 * 1024],
    ["one byte at the end", bytes.length - 1, 1],
  ])("%s", async (_, start, length) => {
    const opened = watched(await store.open(key));
    const { port } = await serve(async () => opened.reader, { start, length });
    const { body } = await download(port);
    expect(body.length).toBe(length);
    expect(sha(body)).toBe(sha(bytes.subarray(start, start + length)));
    await expect(opened.closed).resolves.toBeUndefined();
  });

  test("many at once, from buffers that are used again", async () => {
    const { port, failures } = await serve(() => store.open(key), { start: 0, length: bytes.length });
    for (let round = 0; round < 2; round++) {
      const bodies = await Promise.all(Array.from({ length: 24 }, () => download(port)));
      expect(new Set(bodies.map(({ body }) => sha(body)))).toEqual(new Set([sha(bytes)]));
    }
    expect(failures).toEqual([]);
  });

  test("a client that goes away closes the reader, also while the reader waits for bytes", async () => {
    const opened = watched({
      size: bytes.length,
      read: (buffer, position) => (position === 0 ? Promise.resolve(buffer.length) : new Promise(() => {})),
      close: async () => {},
    });
    const { port } = await serve(async () => opened.reader, { start: 0, length: bytes.length });
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await once(socket, "data");
    socket.destroy();
    await expect(opened.closed).resolves.toBeUndefined();
  });

  test("a client that takes nothing is cut and closes the reader", async () => {
    const opened = watched({ size: 1e12, read: async (buffer) => buffer.length, close: async () => {} });
    const { port } = await serve(async () => opened.reader, { start: 0, length: 1e12 }, 200);
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await expect(opened.closed).resolves.toBeUndefined();
    socket.destroy();
  });

  test("bytes that fail on the way destroy the connection: no client takes a part for the whole", async () => {
    const { port, failures } = await serve(
      async () => ({
        size: bytes.length,
        read: async (buffer, position) => {
          if (position < megabyte) return buffer.length;
          await sleep(1);
          throw new Error("the upstream broke");
        },
        close: async () => {},
      }),
      { start: 0, length: bytes.length },
    );
    await expect(download(port)).rejects.toThrow("aborted");
    expect(failures).toEqual([]);
  });

  test("a reader that ends early is a failure, not a short blob", async () => {
    const short = async (): Promise<BlobReader> => ({
      size: 10,
      read: async (_, position) => (position < 5 ? 5 : 0),
      close: async () => {},
    });
    const { port, failures } = await serve(short, { start: 0, length: 10 });
    await expect(download(port)).rejects.toThrow("socket hang up");
    expect(failures).toMatchObject([{ message: "The blob ended before its size" }]);
  });

  test("what fails before the first byte can still be answered", async () => {
    const failing = async (): Promise<BlobReader> => ({
      size: megabyte,
      read: () => Promise.reject(new Error("no such key")),
      close: async () => {},
    });
    const { port, failures } = await serve(failing, { start: 0, length: megabyte });
    await expect(download(port)).rejects.toThrow("socket hang up");
    expect(failures).toMatchObject([{ message: "no such key" }]);
  });
});
