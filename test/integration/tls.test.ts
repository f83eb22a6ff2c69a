// TLS of the listeners: a Secret's files as a kubelet mounts and swaps them, and clients that speak something else.

import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connect, type SecureVersion, type TLSSocket } from "node:tls";

import { afterAll, beforeAll, expect, test } from "vitest";

import { digestOf, freshName, randomBlob } from "../conformance/content.ts";
import { RegistryClient } from "../../src/client/registry-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { createAuthority, forServers, issue, type KeyPair } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { send, sendRaw } from "../support/http.ts";
import { KubeletMount } from "../support/kubelet-mount.ts";
import { program } from "../support/programs.ts";
import { startRegistryProcess } from "../support/registry-process.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "../support/registry.ts";

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const anyPort = { host: "127.0.0.1", port: 0 };
const secretOf = ({ cert, key }: KeyPair) => ({ "tls.crt": cert, "tls.key": key });

let folder: string;
let authority: string;
let mount: KubeletMount;
let registry: TestRegistry;
let pairs: KeyPair[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-tls-"));
  await createAuthority(folder, "test authority");
  authority = await readFile(join(folder, "ca.crt"), "utf8");
  const subject = { name: "registry", extensions: forServers("IP:127.0.0.1", "DNS:registry.example.com") };
  pairs = await Promise.all([0, 1, 2].map(() => issue(folder, subject)));
  mount = await KubeletMount.make(join(folder, "tls"));
  await mount.write(secretOf(pairs[0]!));
  const tls = { certificateFile: join(mount.folder, "tls.crt"), keyFile: join(mount.folder, "tls.key"), lookEvery: 100 };
  registry = await startTestRegistry({ controlListen: anyPort, adminListen: anyPort, tls });
});
afterAll(async () => {
  await registry?.stop();
  await rm(folder, { recursive: true, force: true });
});

interface GreetOptions {
  readonly maxVersion?: SecureVersion;
  readonly ciphers?: string;
  readonly keyPair?: KeyPair;
}

async function greet(url: string, options: GreetOptions = {}): Promise<TLSSocket> {
  const { port } = new URL(url);
  const socket = connect({ host: "127.0.0.1", port: Number(port), ca: authority, servername: "registry.example.com", ...options });
  await once(socket, "secureConnect");
  return socket;
}

/** Serial number of the certificate that a new connection is shown. */
async function shown(url: string): Promise<string> {
  const socket = await greet(url);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function get(url: string, path: string, headers: Record<string, string> = {}) {
  return send(url, "GET", path, { headers, ca: authority });
}

const metric = async (name: string) => {
  const { body } = await send(registry.adminUrl ?? "", "GET", "/metrics");
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(body.toString())?.[1]);
};
const lines = (part: string) => registry.log.map(({ msg }) => String(msg)).filter((line) => line.includes(part));

test("images and the control API speak TLS 1.2 and 1.3, probes and metrics plain HTTP", async () => {
  expect([registry.url, registry.controlUrl, registry.adminUrl].map((url) => new URL(url ?? "").protocol)).toEqual([
    "https:",
    "https:",
    "http:",
  ]);
  expect((await get(registry.url, "/v2/")).status).toBe(200);
  expect((await get(registry.controlUrl, "/api/v1/record", { authorization: `Bearer ${adminToken}` })).status).toBe(200);
  expect((await send(registry.adminUrl ?? "", "GET", "/readyz")).status).toBe(200);
  for (const [maxVersion, protocol] of [
    ["TLSv1.3", "TLSv1.3"],
    ["TLSv1.2", "TLSv1.2"],
  ] as const) {
    const socket = await greet(registry.url, { maxVersion });
    expect([socket.getProtocol(), socket.alpnProtocol]).toEqual([protocol, false]);
    socket.destroy();
  }
  await expect(greetOld()).rejects.toThrow(/protocol version|unsupported protocol|no protocols available/);
  // What is recorded today is not read with a key that is lost tomorrow.
  for (const cipher of ["AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA"]) {
    await expect(greet(registry.url, { maxVersion: "TLSv1.2", ciphers: cipher })).rejects.toThrow(/handshake failure/);
  }
});

test("a certificate without the name of externalURL is said at the start, one with it is not", async () => {
  const files = { certificateFile: join(mount.folder, "tls.crt"), keyFile: join(mount.folder, "tls.key") };
  const said = async (externalURL: string) => {
    const one = await startTestRegistry({ tls: files, settings: { ...defaultSettings, externalURL } });
    await one.stop();
    return one.log.map(({ msg }) => String(msg)).filter((line) => line.includes("externalURL"));
  };
  expect(await said("https://registry.example.com")).toEqual([]);
  expect(await said("https://127.0.0.1:5000")).toEqual([]);
  expect(await said("https://images.example.com")).toEqual([
    "the certificate is for IP Address:127.0.0.1, DNS:registry.example.com, and not for images.example.com of externalURL: clients that come here by that name refuse it",
  ]);
});

/** A client that knows nothing newer than 1.1. */
async function greetOld(): Promise<unknown> {
  const { port } = new URL(registry.url);
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
  return once(connect({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false, ...old }), "secureConnect");
}

test("a large blob comes whole, in both directions, and a part of it", async () => {
  const bytes = randomBlob(20 * 1024 * 1024 + 7);
  const name = freshName();
  const pushed = await send(registry.url, "POST", `/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes, ca: authority });
  expect(pushed.status).toBe(201);
  const path = `/v2/${name}/blobs/${digestOf(bytes)}`;
  expect((await get(registry.url, path)).body.equals(bytes)).toBe(true);
  const part = await get(registry.url, path, { range: "bytes=1000000-" });
  expect([part.status, part.body.equals(bytes.subarray(1_000_000))]).toEqual([206, true]);
});

test.each(["GET /v2/ HTTP/1.1\r\nhost: localhost\r\n\r\n", "HEAD /v2/a/manifests/x HTTP/1.0\r\n\r\n", "hello?\r\n"])(
  "who speaks no TLS is told so: %j",
  async (text) => {
    const answer = await sendRaw(registry.url, text);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application\/json\r\n/);
    expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")))).toEqual({
      errors: [{ code: "INVALID", message: "This port speaks TLS: write https:// where you wrote http://." }],
    });
  },
);

test("a plain upload of any size hears it too, and one that says nothing and goes leaves nothing behind", async () => {
  const upload = send(registry.url.replace("https", "http"), "POST", "/v2/a/blobs/uploads/", { body: randomBlob(8 * 1024 * 1024) });
  expect((await upload).status).toBe(400);
  const silent = connectPlain(Number(new URL(registry.url).port), "127.0.0.1");
  await once(silent, "connect");
  silent.end();
  await once(silent, "close");
});

test("a swapped mount takes effect for new connections; those that are open go on", async () => {
  const open = await greet(registry.url);
  const first = await shown(registry.url);
  await mount.write(secretOf(pairs[1]!));
  await eventually(async () => expect(await shown(registry.url)).not.toBe(first));
  expect(await shown(registry.controlUrl)).toBe(await shown(registry.url));
  expect(lines("it is used for new connections")).toHaveLength(1);
  open.write("GET /v2/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  const [answer] = (await once(open, "data")) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 OK/);
  open.destroy();
  const inTwoDays = Date.now() / 1_000 + 2 * 86_400;
  const expires = await metric("wharfinger_tls_certificate_expiry_timestamp_seconds");
  expect(Math.abs(expires - inTwoDays)).toBeLessThan(3_600);
});

test.each<[string, () => Record<string, string>, RegExp]>([
  [
    "another's key",
    () => ({ "tls.crt": pairs[2]!.cert, "tls.key": pairs[0]!.key }),
    /the key in \S+tls\.key is not that of the certificate/,
  ],
  [
    "half a certificate",
    () => ({ ...secretOf(pairs[2]!), "tls.crt": pairs[2]!.cert.slice(0, 300) }),
    /tls\.crt holds no certificate \(PEM\): /,
  ],
  ["an empty key", () => ({ ...secretOf(pairs[2]!), "tls.key": "" }), /tls\.key holds no key without a passphrase \(PEM\): /],
  ["no key", () => ({ "tls.crt": pairs[2]!.cert }), /tls\.key \(--tls-key\) cannot be read \(ENOENT\)/],
  [
    "a chain that breaks off",
    () => ({ ...secretOf(pairs[2]!), "tls.crt": `${pairs[2]!.cert}${authority.slice(0, 200)}` }),
    /the certificates in \S+tls\.crt cannot be used: /,
  ],
])("with %s in the files the certificate before stays, and the log and a metric say so", async (_, content, says) => {
  const before = await shown(registry.url);
  const told = registry.log.length;
  await mount.write(content());
  await eventually(() => {
    const found = registry.log.slice(told).map(({ msg }) => String(msg));
    expect(found.filter((line) => line.startsWith("the certificate stays the one that expires on "))).toEqual([
      expect.stringMatching(says) as string,
    ]);
  });
  expect(await metric("wharfinger_tls_certificate_refused")).toBe(1);
  expect(await shown(registry.url)).toBe(before);
  await mount.write(secretOf(pairs[1]!));
  await eventually(async () => expect(await metric("wharfinger_tls_certificate_refused")).toBe(0));
  // What is in a key is nobody's to read.
  expect(JSON.stringify(registry.log)).not.toContain("PRIVATE KEY");
});

test("files that are written one after the other, as by hand, are used when both are there", async () => {
  const [certificateFile, keyFile] = [join(folder, "server.crt"), join(folder, "server.key")];
  await Promise.all([writeFile(certificateFile, pairs[0]!.cert), writeFile(keyFile, pairs[0]!.key)]);
  const other = await startTestRegistry({ tls: { certificateFile, keyFile, lookEvery: 100 } });
  try {
    const first = await shown(other.url);
    await writeFile(certificateFile, pairs[2]!.cert);
    await writeFile(keyFile, pairs[2]!.key);
    await eventually(async () => expect(await shown(other.url)).not.toBe(first));
  } finally {
    await other.stop();
  }
});

test("who asks the registry trusts the authority that he was given, and without it is told what to do", async () => {
  const { url, controlUrl } = registry;
  const ca = join(folder, "ca.crt");
  const ask = (...more: string[]) =>
    program(process.execPath, [main, "gc", "status", "--registry", controlUrl, ...more], {
      cwd: folder,
      env: { ...process.env, WHARFINGER_TOKEN: adminToken },
    });
  expect(await ask("--ca", ca)).toMatchObject({ code: 0, stderr: "" });
  const untrusted = await ask();
  expect(untrusted.code).toBe(1);
  expect(untrusted.stderr).toMatch(
    /certificate is of an authority that is not known here .*\nName the file with the authority of its certificate with --ca\.\n$/,
  );
  // A job asks both listeners.
  const caFile = ca;
  const images = new RegistryClient({ url, caFile, token: adminToken });
  expect(await images.resolve("team/none", "latest")).toBeUndefined();
  await images.close();
});

test("a process that is given files it cannot use says at the start what is wrong", async () => {
  const settings = { database: { url: registry.databaseUrl }, storage: { folder: join(folder, "blobs") } };
  const missing = join(folder, "missing.crt");
  const key = join(mount.folder, "tls.key");
  await expect(startRegistryProcess({ settings, args: ["--tls-certificate", missing, "--tls-key", key] })).rejects.toThrow(
    `${missing} (--tls-certificate) cannot be read (ENOENT)`,
  );
  await expect(startRegistryProcess({ settings, args: ["--tls-key", key] })).rejects.toThrow(
    "TLS needs both files: --tls-certificate and --tls-key.",
  );
});

test("clients are sent for tokens to the name of the certificate under which they came, and else to externalURL", async () => {
  const tls = { certificateFile: join(mount.folder, "tls.crt"), keyFile: join(mount.folder, "tls.key") };
  const settings = { ...defaultSettings, externalURL: "https://elsewhere.example.com" };
  const closed = await startTestRegistry({ tls, settings, openOnLoopback: false });
  const { port } = new URL(closed.url);
  for (const host of ["127.0.0.1", "registry.example.com"]) {
    const challenge = (await get(closed.url, "/v2/team/app/tags/list", { host: `${host}:${port}` })).headers["www-authenticate"];
    expect(challenge).toBe(`Bearer realm="https://${host}:${port}/token",service="elsewhere.example.com",scope="repository:team/app:pull"`);
  }
  expect((await get(closed.url, "/token?service=elsewhere.example.com&scope=repository:team/app:pull")).status).toBe(200);
  await closed.stop();
});
