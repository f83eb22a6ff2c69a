// What a start says about a database that it cannot use, and how a connection is made: real servers, TLS and passwords.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { Database, statement } from "../../src/registry/metadata/database.ts";
import type { DatabaseOptions } from "../../src/registry/metadata/database-options.ts";
import { checkServer } from "../../src/registry/metadata/server-check.ts";
import { createCertificates, type Certificates } from "../support/certificates.ts";
import { startPostgresServer, type PostgresServer } from "../support/postgres-server.ts";
import { startTestRegistry } from "../support/registry.ts";

let server: PostgresServer;
let standby: PostgresServer;
let certificates: Certificates;
let folder: string;
const open: Database[] = [];

beforeAll(async () => {
  certificates = await createCertificates();
  folder = await mkdtemp(join(tmpdir(), "wharfinger-refusals-"));
  server = await startPostgresServer({
    settings: {
      synchronous_commit: "local",
      synchronous_standby_names: "nobody",
      ssl: "on",
      ssl_cert_file: "server.crt",
      ssl_key_file: "server.key",
      ssl_ca_file: "ca.crt",
    },
    files: { "server.crt": certificates.server.cert, "server.key": certificates.server.key, "ca.crt": certificates.authority },
    hba: [
      "host all wharfinger 127.0.0.1/32 trust",
      "host replication wharfinger 127.0.0.1/32 trust",
      "host all secretive 127.0.0.1/32 scram-sha-256",
      "hostssl all guarded 127.0.0.1/32 scram-sha-256",
      "hostssl all client 127.0.0.1/32 cert",
    ],
  });
  await server.run("CREATE DATABASE registry");
  await server.run("CREATE ROLE secretive LOGIN PASSWORD 'first'");
  await server.run("CREATE DATABASE owned OWNER secretive");
  await server.run("CREATE ROLE guarded LOGIN PASSWORD 'first'");
  await server.run("CREATE ROLE client LOGIN");
  for (const [name, text] of [
    ["ca.pem", certificates.authority],
    ["client.pem", certificates.client.cert],
    ["client.key", certificates.client.key],
    ["other-ca.pem", (await createCertificates()).authority],
    ["password", "first\n"],
    ["empty", "\n"],
  ] as const)
    await writeFile(join(folder, name), text);
  standby = await server.standby("follower");
});
afterEach(async () => {
  for (const database of open.splice(0)) await database.close();
});
afterAll(async () => {
  await standby?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const as = (user: string, database = "registry", parameters = "") =>
  `postgresql://${user}@127.0.0.1:${server.port}/${database}${parameters}`;
const file = (name: string) => join(folder, name);
function connect(options: DatabaseOptions): Database {
  const database = new Database(options);
  open.push(database);
  return database;
}
const check = (options: DatabaseOptions) => checkServer(connect(options));
const whoAmI = statement("test-who", "SELECT current_user AS role, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls");

test("a database that works is taken, and what could lose data is said", async () => {
  expect(await check({ url: server.url("registry") })).toEqual([
    expect.stringMatching(/fsync = off/),
    expect.stringMatching(/synchronous_commit = local.*failover/),
  ]);
});

describe("refused with what to do", () => {
  test.each<[string, () => DatabaseOptions, RegExp]>([
    ["a wrong password", () => ({ url: as("secretive:wrong") }), /refuses the password.*password authentication failed/],
    ["no password", () => ({ url: as("secretive") }), /^The database wants a password, and none is given: set database\.passwordFile\.$/],
    [
      "a password file with nothing in it",
      () => ({ url: as("secretive"), passwordFile: file("empty") }),
      /^The database wants a password, and its file .*empty is empty\.$/,
    ],
    [
      "a password file that is not there",
      () => ({ url: as("secretive"), passwordFile: file("no-such-file") }),
      /password cannot be read from .*no-such-file \(ENOENT\)/,
    ],
    ["a user whom no line of pg_hba.conf lets in", () => ({ url: as("nobody") }), /refuses the user.*pg_hba\.conf/],
    ["a missing database", () => ({ url: as("wharfinger", "nowhere") }), /does not exist.*CREATE DATABASE/],
    ["nobody there", () => ({ url: "postgresql://wharfinger@127.0.0.1:1/registry" }), /cannot be reached.*ECONNREFUSED.*host and port/],
    [
      "no such host",
      () => ({ url: "postgresql://wharfinger@no-such-host.invalid/registry" }),
      /cannot be reached.*(?:ENOTFOUND|EAI_AGAIN)/,
    ],
    ["no TLS where the server asks for it", () => ({ url: as("guarded:first") }), /refuses the user.*whether TLS/],
    [
      "TLS where the server has none",
      () => ({ url: standbyUrl("?sslmode=require") }),
      /offers no TLS.*ssl = on.*write sslmode=disable into the URL\.$/,
    ],
    [
      "TLS by the settings where the server has none",
      () => ({ url: standbyUrl("?sslmode=disable"), tls: { mode: "VerifyFull" } }),
      /offers no TLS.*ssl = on.*set database\.tls\.mode: Disable, which goes before the URL\.$/,
    ],
    [
      "an authority that is not known",
      () => ({ url: as("guarded:first"), tls: { mode: "VerifyFull", caFile: file("other-ca.pem") } }),
      /TLS to the database failed.*authority/,
    ],
    [
      "another host name than the certificate has",
      () => ({
        url: `postgresql://guarded:first@[::ffff:127.0.0.1]:${server.port}/registry`,
        tls: { mode: "VerifyFull", caFile: file("ca.pem") },
      }),
      /TLS to the database failed.*host name/,
    ],
    [
      "no client certificate where one is asked for",
      () => ({ url: as("client"), tls: { mode: "Require" } }),
      /refuses the user.*certificate/,
    ],
    ["a standby", () => ({ url: standbyUrl() }), /leads to a standby\. Give an address that leads to the primary/],
  ])("%s", async (_, options, message) => {
    await expect(check(options())).rejects.toThrow(message);
  });

  test.each<[string, string, RegExp]>([
    ["CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0", "ascii", /encoding SQL_ASCII.*ENCODING 'UTF8'/],
    ["ALTER ROLE secretive SET default_transaction_read_only = on", "registry", /read-only for the role secretive/],
    ["ALTER ROLE secretive RESET ALL", "registry", /may not create tables.*OWNER TO secretive/],
    ["ALTER ROLE secretive SET synchronous_commit = off", "owned", /is off for the role secretive.*SET synchronous_commit = on/],
  ])("%s", async (sql, database, message) => {
    await server.run(sql);
    await expect(check({ url: as("secretive:first", database) })).rejects.toThrow(message);
    await server.run("ALTER ROLE secretive RESET ALL");
  });

  test("by the start of a whole registry, which leaves nothing behind", async () => {
    await server.run("ALTER ROLE secretive SET synchronous_commit = off");
    await expect(startTestRegistry({ database: { url: as("secretive:first", "owned") } })).rejects.toThrow(/synchronous_commit is off/);
    await server.run("ALTER ROLE secretive RESET ALL");
    expect(await server.run("SELECT FROM pg_tables WHERE schemaname = 'public'", { database: "owned" })).toEqual([]);
  });

  test.each([
    ["mysql://user@host/name", /must look like postgresql:\/\//],
    ["postgresql://user@one,two/name", /several hosts.*leads to the primary/],
    ["postgresql://host/name", /names no user/],
    ["postgresql://user@host/name?sslmode=prefer", /sslmode=prefer is not offered.*verify-full/],
    ["postgresql://user@host/name?target_session_attrs=any", /target_session_attrs is not understood/],
  ])("%s", (url, message) => {
    expect(() => connect({ url })).toThrow(message);
  });

  test("a file with the URL that is not there", () => {
    expect(() => connect({ urlFile: file("no-such-file") })).toThrow(/URL for the database cannot be read from .*no-such-file \(ENOENT\)/);
  });
});

function standbyUrl(parameters = ""): string {
  return `${standby.url("registry")}${parameters}`;
}

describe("connections", () => {
  test("are encrypted to a server that is who it says, with its password", async () => {
    const database = connect({
      url: as("guarded:first", "registry", `?sslmode=verify-full&sslrootcert=${encodeURIComponent(file("ca.pem"))}`),
    });
    expect(await database.query(whoAmI)).toEqual([{ role: "guarded", tls: true }]);
  });

  test("are made with a client certificate", async () => {
    const tls = { mode: "VerifyFull", caFile: file("ca.pem"), certificateFile: file("client.pem"), keyFile: file("client.key") } as const;
    expect(await connect({ url: as("client"), tls }).query(whoAmI)).toEqual([{ role: "client", tls: true }]);
  });

  test("read the password again each time: one that was changed needs no restart", async () => {
    const database = connect({ url: as("guarded"), tls: { mode: "Require" }, passwordFile: file("password") });
    expect(await database.query(whoAmI)).toEqual([{ role: "guarded", tls: true }]);
    await server.run("ALTER ROLE guarded PASSWORD 'second'");
    await writeFile(file("password"), "second");
    await server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'");
    expect(await database.query(whoAmI)).toEqual([{ role: "guarded", tls: true }]);
    await server.run("ALTER ROLE guarded PASSWORD 'first'");
    await writeFile(file("password"), "first\n");
  });

  test("read a file with the whole URL again each time, and go by the one before while it is broken", async () => {
    const troubles: string[] = [];
    await writeFile(file("url"), `${as("secretive:first")}\n`);
    const database = connect({ urlFile: file("url"), onTrouble: (message) => troubles.push(message) });
    const whoElse = async (role: string) => {
      await server.run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`);
      const [row] = await database.query<{ role: string }>(whoAmI);
      return row?.role;
    };
    expect(await whoElse("nobody")).toBe("secretive");
    await writeFile(file("url"), "postgresql://half:");
    expect(await whoElse("secretive")).toBe("secretive");
    expect(troubles.join()).toMatch(/URL cannot be used.*It is read from .*url; the one before is used/);
    expect(troubles.join()).not.toContain("half");
    await writeFile(file("url"), as("guarded:first", "registry", "?sslmode=require"));
    expect(await whoElse("secretive")).toBe("guarded");
  });
});
