// The running hash of a session's bytes. Node's is the fast one, and dies with its process. A session that moved from one pod to another goes on
// with one whose state is stored with it, a fourth of the speed, so that no later move reads anything again (storage.md, "Uploads").

import type { Hash } from "node:crypto";

import type { IHasher } from "hash-wasm";

import { finishDigest, hexOf, startDigest, type Digest, type DigestAlgorithm } from "../../../domain/digest.ts";

export interface UploadHash {
  update(bytes: Uint8Array): unknown;
  /** Digest of the bytes so far. It goes on. */
  digest(): Digest;
  /** From which `ExportableHash.restore` goes on; null where that cannot be. */
  save(): Uint8Array | null;
}

/** For as long as one process has the session. */
export class ProcessHash implements UploadHash {
  readonly algorithm: DigestAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm, hash = startDigest(algorithm)) {
    this.algorithm = algorithm;
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Digest {
    return finishDigest(this.#hash.copy(), this.algorithm);
  }

  save(): null {
    return null;
  }

  copy(): ProcessHash {
    return new ProcessHash(this.algorithm, this.#hash.copy());
  }
}

export class ExportableHash implements UploadHash {
  readonly #algorithm: DigestAlgorithm;
  readonly #hasher: IHasher;

  private constructor(algorithm: DigestAlgorithm, hasher: IHasher) {
    this.#algorithm = algorithm;
    this.#hasher = hasher;
  }

  static async start(algorithm: DigestAlgorithm): Promise<ExportableHash> {
    // Loaded where a session moves, and nowhere else: most processes never need it.
    const { createSHA256, createSHA512 } = await import("hash-wasm");
    return new ExportableHash(algorithm, await (algorithm === "sha512" ? createSHA512() : createSHA256()));
  }

  /**
   * Goes on from `state`, if it is one of bytes that hash to `prefix`. Undefined when it is not: written by another version of the library (states
   * name the build that wrote them), of other bytes (a version of the registry that knows no states moved the session), or damaged.
   */
  static async restore(algorithm: DigestAlgorithm, state: Uint8Array, prefix: Digest): Promise<ExportableHash | undefined> {
    const started = await ExportableHash.start(algorithm);
    try {
      started.#hasher.load(state);
      if (started.#hasher.digest("hex") !== hexOf(prefix)) return undefined;
      started.#hasher.load(state);
      return started;
    } catch {
      return undefined;
    }
  }

  update(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
  }

  digest(): Digest {
    const state = this.#hasher.save();
    const digest: Digest = `${this.#algorithm}:${this.#hasher.digest("hex")}`;
    this.#hasher.load(state);
    return digest;
  }

  save(): Uint8Array {
    return this.#hasher.save();
  }
}
