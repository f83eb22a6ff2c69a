// What an installation finds around its cluster: PostgreSQL, a bucket, a Git host and a registry of others, as servers of this machine that pods reach.

import { randomBytes } from "node:crypto";

import { createCertificates, type Certificates } from "../certificates.ts";
import { startDistribution, type Distribution } from "../distribution.ts";
import { GitHost } from "../git-remote.ts";
import { startPostgresServer, type PostgresServer } from "../postgres-server.ts";
import { startS3Service, type S3Service } from "../s3-service.ts";
import type { Cluster } from "./cluster.ts";

export interface Surroundings {
  /** Of PostgreSQL and upstream: PEM of the authority that made their certificates. */
  readonly authority: string;
  readonly postgres: PostgresServer;
  readonly s3: S3Service;
  readonly git: GitHost;
  /** By https. */
  readonly upstream: Distribution;
  /** A database of an owner of its own, who has nothing else. */
  createDatabase(): Promise<DatabaseLogin>;
  stop(): Promise<void>;
}

export interface DatabaseLogin {
  /** Without the password. */
  readonly url: string;
  readonly password: string;
}

/** At the address of this machine where Pods find it. */
export async function startSurroundings({ addresses }: Pick<Cluster, "addresses">): Promise<Surroundings> {
  const address = addresses.machine;
  const certificates = await createCertificates(address);
  const stack = new AsyncDisposableStack();
  const kept = async <Server extends { stop(): Promise<void> }>(starting: Promise<Server>): Promise<Server> => {
    const server = await starting;
    stack.defer(() => server.stop());
    return server;
  };
  try {
    const { authority, server: tls } = certificates;
    const [postgres, s3, git, upstream] = await Promise.all([
      kept(startPostgres(address, certificates)),
      kept(startS3Service({ address })),
      kept(GitHost.start(address)),
      kept(startDistribution({ address, tls: { ...tls, authority } })),
    ]);
    return {
      authority,
      postgres,
      s3,
      git,
      upstream,
      createDatabase: () => createDatabase(address, postgres),
      stop: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function startPostgres(address: string, { server }: Certificates): Promise<PostgresServer> {
  return startPostgresServer({
    settings: { listen_addresses: `127.0.0.1,${address}`, ssl: "on", ssl_cert_file: "server.crt", ssl_key_file: "server.key" },
    hba: ["host all all 127.0.0.1/32 trust", "hostssl all all 0.0.0.0/0 scram-sha-256"],
    files: { "server.crt": server.cert, "server.key": server.key },
  });
}

async function createDatabase(address: string, postgres: PostgresServer): Promise<DatabaseLogin> {
  const name = `registry_${randomBytes(4).toString("hex")}`;
  const password = randomBytes(16).toString("hex");
  await postgres.run(`CREATE ROLE ${name} LOGIN PASSWORD '${password}'`);
  await postgres.run(`CREATE DATABASE ${name} OWNER ${name}`);
  return { url: `postgres://${name}@${address}:${postgres.port}/${name}`, password };
}
