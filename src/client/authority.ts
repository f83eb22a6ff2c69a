// Whom a client of the registry trusts to have signed its certificate, where that is nobody whom Node knows: a cluster's own authority.

import { open } from "node:fs/promises";

import { buildConnector } from "undici";

/** Bytes; a bundle of all public authorities has a fourth of it. */
const longest = 1024 * 1024;

/** PEM. Rejects with an Error that names the file. */
export async function readAuthority(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const bytes = Buffer.alloc(longest + 1);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      if (bytesRead > longest) throw new Error(`it has more than ${longest} bytes`);
      const text = bytes.toString("utf8", 0, bytesRead);
      if (!text.includes("-----BEGIN CERTIFICATE-----")) throw new Error("it holds no certificate (PEM)");
      return text;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new Error(`${file} (--ca) cannot be used: ${(cause as Error).message}`, { cause });
  }
}

/** Trusts those whom the file names and nobody else. It is read for each new connection: authorities are replaced while a process runs. */
export function trusting(file: string): buildConnector.connector {
  let known = { authority: "", connect: buildConnector({}) };
  const plain = buildConnector({});
  const connectorOf = async () => {
    const authority = await readAuthority(file);
    if (authority !== known.authority) known = { authority, connect: buildConnector({ ca: authority, allowH2: false }) };
    return known.connect;
  };
  const connect = async (...[options, done]: Parameters<buildConnector.connector>) => {
    try {
      (await connectorOf())(options, done);
    } catch (error) {
      done(error as Error, null);
    }
  };
  return (options, done) => (options.protocol === "https:" ? void connect(options, done) : plain(options, done));
}
