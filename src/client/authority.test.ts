// A registry whose certificate is nobody's that Node knows, and clients that are told whom to trust.

import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createPlainServer } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createAuthority, forServers, issue, type KeyPair } from "../../test/support/certificates.ts";
import { Transport } from "./transport.ts";

let folder: string;
let server: Server;
let url: string;
const authorities: string[] = [];
const pairs: KeyPair[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "authority-"));
  for (const name of ["one", "other"]) {
    await createAuthority(folder, name);
    authorities.push(await readFile(join(folder, "ca.crt"), "utf8"));
    pairs.push(await issue(folder, { name: "registry", extensions: forServers("IP:127.0.0.1") }));
  }
  server = createServer({ ...pairs[0] }, (_, response) => response.setHeader("connection", "close").end("{}"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});

async function ask(transport: Transport): Promise<number> {
  return (await transport.send({ method: "GET", path: "/" })).status;
}

test("without it, and by another authority, the registry is nobody that is trusted", async () => {
  const unknown = new Transport({ url });
  await expect(ask(unknown)).rejects.toMatchObject({
    code: "Unreachable",
    message: expect.stringMatching(
      /: its certificate is of an authority that is not known here \(UNABLE_TO_\w+\): in the chart that is ca\.crt/,
    ),
  });
  const caFile = join(folder, "other.crt");
  await writeFile(caFile, authorities[1] ?? "");
  const other = new Transport({ url, caFile });
  await expect(ask(other)).rejects.toMatchObject({ code: "Unreachable", temporary: true });
  await Promise.all([unknown.close(), other.close()]);
});

test("a certificate for another name, and no TLS where some was expected, are said as such", async () => {
  const caFile = join(folder, "one.crt");
  await writeFile(caFile, authorities[0] ?? "");
  const byName = new Transport({ url: url.replace("127.0.0.1", "localhost"), caFile });
  await expect(ask(byName)).rejects.toMatchObject({
    message: expect.stringContaining(
      ": its certificate is for IP Address:127.0.0.1, and not for localhost: give it one that has this name too",
    ),
  });
  const plain = createPlainServer((_, response) => response.end());
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  const { port } = plain.address() as AddressInfo;
  const encrypted = new Transport({ url: `https://127.0.0.1:${port}` });
  await expect(ask(encrypted)).rejects.toMatchObject({ message: expect.stringContaining(": it does not speak TLS there: ") });
  plain.close();
  await Promise.all([byName.close(), encrypted.close()]);
});

test("the authority and the certificate may be replaced while a client runs: the file is read for each new connection", async () => {
  const caFile = join(folder, "followed.crt");
  await writeFile(caFile, authorities[0] ?? "");
  const transport = new Transport({ url, caFile });
  expect(await ask(transport)).toBe(200);
  server.setSecureContext({ ...pairs[1] });
  await expect(ask(transport)).rejects.toMatchObject({ code: "Unreachable" });
  await writeFile(caFile, authorities.join("\n"));
  expect(await ask(transport)).toBe(200);
  server.setSecureContext({ ...pairs[0] });
  expect(await ask(transport)).toBe(200);
  await transport.close();
});

test.each<[string, string | undefined, RegExp]>([
  ["not there", undefined, /gone\.crt \(--ca\) cannot be used: ENOENT/],
  ["something else", "{}", /\(--ca\) cannot be used: it holds no certificate \(PEM\)/],
  ["endless", `-----BEGIN CERTIFICATE-----\n${"A".repeat(1024 * 1024)}`, /\(--ca\) cannot be used: it has more than 1048576 bytes/],
])("a file that is %s is named", async (_, content, says) => {
  const caFile = join(folder, content === undefined ? "gone.crt" : "wrong.crt");
  if (content !== undefined) await writeFile(caFile, content);
  const transport = new Transport({ url, caFile });
  await expect(ask(transport)).rejects.toMatchObject({ code: "Unreachable", message: expect.stringMatching(says) });
  await transport.close();
});
