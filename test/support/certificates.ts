// Certificate authorities for tests, by openssl: short-lived, in a folder that goes away.

import { randomBytes } from "node:crypto";
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
  /** For `address`, `names` and localhost. */
  readonly server: KeyPair;
  readonly client: KeyPair;
}

export interface Subject {
  readonly name: string;
  /** `O`: Kubernetes takes them for groups. */
  readonly organizations?: readonly string[];
  /** Lines of openssl's extensions. */
  readonly extensions: readonly string[];
}

export const forClients = ["extendedKeyUsage=clientAuth"];
export const forServers = (...names: readonly string[]) => [`subjectAltName=${names.join(",")}`, "extendedKeyUsage=serverAuth"];

export async function createCertificates(address = "127.0.0.1", names: readonly string[] = []): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-certificates-"));
  try {
    await createAuthority(folder, "test authority");
    const [server, client] = await Promise.all([
      issue(folder, { name: "server", extensions: forServers(`IP:${address}`, "DNS:localhost", ...names.map((name) => `DNS:${name}`)) }),
      issue(folder, { name: "client", extensions: forClients }),
    ]);
    return { authority: await readFile(join(folder, "ca.crt"), "utf8"), server, client };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes an authority: `ca.crt` and `ca.key` in a folder. */
export async function createAuthority(folder: string, name: string): Promise<void> {
  const files = ["-keyout", join(folder, "ca.key"), "-out", join(folder, "ca.crt")];
  await openssl("req", "-x509", ...newKey, ...files, "-subj", distinguishedName({ name }), "-days", days);
}

/** A certificate of the authority in `folder`, which another process may have made. */
export async function issue(folder: string, subject: Subject): Promise<KeyPair> {
  const serial = randomBytes(8).toString("hex");
  const at = (kind: string) => join(folder, `${serial}.${kind}`);
  await openssl("req", ...newKey, "-keyout", at("key"), "-out", at("csr"), "-subj", distinguishedName(subject));
  await writeFile(at("ext"), `${subject.extensions.join("\n")}\n`);
  const signer = ["-CA", join(folder, "ca.crt"), "-CAkey", join(folder, "ca.key"), "-set_serial", `0x${serial}`, "-days", days];
  await openssl("x509", "-req", "-in", at("csr"), ...signer, "-extfile", at("ext"), "-out", at("crt"));
  return { cert: await readFile(at("crt"), "utf8"), key: await readFile(at("key"), "utf8") };
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const days = "2";

function distinguishedName({ name, organizations = [] }: Pick<Subject, "name" | "organizations">): string {
  const escaped = (text: string) => text.replaceAll(/[\\/+]/g, "\\$&");
  return [...organizations.map((organization) => `/O=${escaped(organization)}`), `/CN=${escaped(name)}`].join("");
}

async function openssl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await program("openssl", args);
  if (code !== 0) throw new Error(`openssl ${args[0] ?? ""} ended with ${code}:\n${stderr}`);
}
