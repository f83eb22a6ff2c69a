// node:fs by descriptor. The callback functions cost less than FileHandle on the paths where every byte passes.

import { close, fstat, fsync, ftruncate, open, read, writev } from "node:fs";
import { promisify } from "node:util";

export const openFile = (path: string, flags: string): Promise<number> => promisify(open)(path, flags, 0o600);
export const closeFile: (descriptor: number) => Promise<void> = promisify(close);
export const syncFile: (descriptor: number) => Promise<void> = promisify(fsync);
export const truncateFile: (descriptor: number, size: number) => Promise<void> = promisify(ftruncate);

export async function sizeOfFile(descriptor: number): Promise<number> {
  return (await promisify(fstat)(descriptor)).size;
}

/** Bytes read into `buffer` from `position` of the file; 0 at its end. */
export function readFile(descriptor: number, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, buffer, 0, buffer.byteLength, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

/** Bytes written, which may be fewer than given. */
export function writeFilePieces(descriptor: number, pieces: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(descriptor, pieces, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

/** Makes what was created, renamed or removed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const descriptor = await openFile(path, "r");
  try {
    await syncFile(descriptor);
  } finally {
    await closeFile(descriptor);
  }
}

export function codeOfFile(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** The disk, a quota, or the largest file that there may be. */
export function isFull(code: string | undefined): boolean {
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}
