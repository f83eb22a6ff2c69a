// A certificate authority for tests, by openssl: short-lived, in a folder that goes away.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { program } from "./programs.ts";

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface Certificates {
  /** PEM of the authority. */
  readonly authority: string;
  /** For 127.0.0.1 and localhost. */
  readonly server: KeyPair;
  readonly client: KeyPair;
}

export async function createCertificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-certificates-"));
  const at = (name: string) => join(folder, name);
  const openssl = async (...args: string[]) => {
    const { code, stderr } = await program("openssl", args);
    if (code !== 0) throw new Error(`openssl ${args[0] ?? ""} ended with ${code}:\n${stderr}`);
  };
  const elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const issue = async (name: string, extensions: string): Promise<KeyPair> => {
    await openssl("req", ...elliptic, "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`), "-subj", `/CN=${name}`);
    await writeFile(at(`${name}.ext`), extensions);
    const signer = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2"];
    await openssl("x509", "-req", "-in", at(`${name}.csr`), ...signer, "-extfile", at(`${name}.ext`), "-out", at(`${name}.crt`));
    return { cert: await readFile(at(`${name}.crt`), "utf8"), key: await readFile(at(`${name}.key`), "utf8") };
  };
  try {
    await openssl("req", "-x509", ...elliptic, "-keyout", at("ca.key"), "-out", at("ca.crt"), "-subj", "/CN=test authority", "-days", "2");
    return {
      authority: await readFile(at("ca.crt"), "utf8"),
      server: await issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n"),
      client: await issue("client", "extendedKeyUsage=clientAuth\n"),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
