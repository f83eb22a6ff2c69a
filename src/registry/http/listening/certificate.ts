// The certificate and the key of the listeners, from files that are replaced while they listen: by cert-manager and the kubelet, or by hand.
//
// A pair that cannot be used never takes the place of one that can: half of it may be written, or a certificate be of another key.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

import type { Logger } from "../../../observability/logger.ts";

export interface CertificateFiles {
  /** PEM: the certificate, and behind it those that lead to the authority. */
  readonly certificateFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
  /** Milliseconds between two looks at them. */
  readonly lookEvery?: number;
}

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
  readonly expires: Date;
}

/** A kubelet swaps a symbolic link, which no notification tells of. */
const usualLook = 2_000;

export class Certificate {
  readonly #files: CertificateFiles;
  readonly #logger: Logger;
  readonly #listeners = new Set<(pair: KeyPair) => void>();
  #current: KeyPair;
  /** What was found at the last look and is not used. */
  #problem: string | undefined;
  #told: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(files: CertificateFiles, logger: Logger, current: KeyPair) {
    [this.#files, this.#logger, this.#current] = [files, logger, current];
    if (hasExpired(current)) logger.error(`${this.#described(current)}: clients refuse it until other files are there`);
    this.#next();
  }

  /** Rejects with an Error that says what is wrong with the files. */
  static async open(files: CertificateFiles, { logger }: { readonly logger: Logger }): Promise<Certificate> {
    return new Certificate(files, logger, await readPair(files));
  }

  /** The one that is shown. */
  get current(): KeyPair {
    return this.#current;
  }

  /** Why what the files hold now is not used; undefined: it is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  onChange(listener: (pair: KeyPair) => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #next(): void {
    this.#timer = setTimeout(
      () => void this.#look().finally(() => this.#closed || this.#next()),
      this.#files.lookEvery ?? usualLook,
    ).unref();
  }

  async #look(): Promise<void> {
    try {
      const found = await readPair(this.#files);
      if (hasExpired(found) && !hasExpired(this.#current)) throw new Error(this.#described(found));
      this.#problem = undefined;
      this.#told = undefined;
      if (found.cert === this.#current.cert && found.key === this.#current.key) return;
      for (const listener of this.#listeners) listener(found);
      this.#current = found;
      this.#logger.info(`${this.#described(found)}: it is used for new connections`);
    } catch (error) {
      const { message } = error as Error;
      // Two files are not written at one moment: what is still so at the next look is told.
      if (message === this.#problem && message !== this.#told) {
        this.#told = message;
        this.#logger.error(`the certificate stays the one that expires on ${shown(this.#current)}: ${message}`);
      }
      this.#problem = message;
    }
  }

  #described(pair: KeyPair): string {
    return `the certificate in ${this.#files.certificateFile} ${hasExpired(pair) ? "expired" : "expires"} on ${shown(pair)}`;
  }
}

function shown({ expires }: KeyPair): string {
  return expires.toISOString();
}

function hasExpired({ expires }: KeyPair): boolean {
  return expires.getTime() <= Date.now();
}

async function readPair({ certificateFile, keyFile }: CertificateFiles): Promise<KeyPair> {
  const [cert, key] = await Promise.all([read(certificateFile, "--tls-certificate"), read(keyFile, "--tls-key")]);
  const leaf = parsed(() => new X509Certificate(cert), `${certificateFile} holds no certificate (PEM)`);
  const own = parsed(() => createPrivateKey(key), `${keyFile} holds no key without a passphrase (PEM)`);
  if (!leaf.checkPrivateKey(own)) throw new Error(`the key in ${keyFile} is not that of the certificate in ${certificateFile}`);
  // What is behind the first certificate, too.
  parsed(() => createSecureContext({ cert, key }), `the certificates in ${certificateFile} cannot be used`);
  return { cert, key, expires: leaf.validToDate };
}

async function read(file: string, option: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${file} (${option}) cannot be read (${cause.code ?? cause.message})`, { cause });
  });
}

function parsed<T>(parse: () => T, what: string): T {
  try {
    return parse();
  } catch (cause) {
    // OpenSSL's own words name no byte of the key.
    throw new Error(`${what}: ${(cause as Error).message}`, { cause });
  }
}
