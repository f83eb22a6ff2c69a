// What is killed and cut off: pods of `wharfinger registry`, their PostgreSQL and their S3 service, each pod behind hops of its own.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";

import { S3BlobStore } from "../../src/registry/blobs/s3-store.ts";
import { startFaultyHop, type FaultyHop } from "../support/faulty-hop.ts";
import { bucketOf, credentialsOf, startRegistryProcess } from "../support/registry-process.ts";
import { startS3Service, type S3Service } from "../support/s3-service.ts";
import { processToken, type ServingProcess } from "../support/serving-process.ts";
import { embeddedDatabase, type ClusterDatabase } from "./cluster-database.ts";
import { startHop, type Hop } from "./hop.ts";
import { findViolations } from "./invariants.ts";

export interface ClusterOptions {
  readonly pods: number;
  /** The `gc` of the settings. */
  readonly gc: Readonly<Record<string, unknown>>;
  /** More settings. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** All pods reach the bucket through `Cluster.s3Errors`. */
  readonly s3Errors?: boolean;
  /** Stopped with the cluster; an embedded one by default. */
  readonly database?: ClusterDatabase;
}

export interface Pod {
  readonly number: number;
  /** Its ways to the database and to the bucket. */
  readonly hops: { readonly database: Hop; readonly s3: Hop };
  process: ServingProcess | undefined;
}

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #folder: string;
  readonly pods: Pod[] = [];
  /** Makes the S3 service answer with errors. */
  readonly s3Errors: FaultyHop | undefined;
  readonly #database: ClusterDatabase;
  #s3: S3Service;

  private constructor(options: ClusterOptions, folder: string, database: ClusterDatabase, s3: S3Service, s3Errors: FaultyHop | undefined) {
    this.#options = options;
    this.#folder = folder;
    this.#database = database;
    this.#s3 = s3;
    this.s3Errors = s3Errors;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), "wharfinger-chaos-"));
    const [database, s3] = await Promise.all([options.database ?? embeddedDatabase(join(folder, "postgres")), startS3Service()]);
    // The S3 service keeps its port when it is started again.
    const s3Errors = options.s3Errors === true ? await startFaultyHop(s3.settings.endpoint ?? "") : undefined;
    const s3Port = Number(new URL(s3Errors?.url ?? s3.settings.endpoint ?? "").port);
    const cluster = new Cluster(options, folder, database, s3, s3Errors);
    for (let number = 0; number < options.pods; number++) {
      const hops = { database: await startHop(() => database.address()), s3: await startHop(() => ({ host: "127.0.0.1", port: s3Port })) };
      cluster.pods.push({ number, hops, process: undefined });
    }
    for (const pod of cluster.pods) await cluster.startPod(pod);
    return cluster;
  }

  /** URL of a pod that runs; any, when none does. */
  url(): string {
    const alive = this.pods.flatMap(({ process }) => process?.url ?? []);
    return alive[Math.trunc(Math.random() * alive.length)] ?? "http://127.0.0.1:1";
  }

  urls(): string[] {
    return this.pods.flatMap(({ process }) => process?.url ?? []);
  }

  /** `failpoints`: what FAILPOINT says. */
  async startPod(pod: Pod, failpoints?: string): Promise<void> {
    const { database, s3 } = pod.hops;
    const url = new URL(this.#database.url());
    const bucket = { ...bucketOf(this.#s3.settings), endpoint: `http://127.0.0.1:${s3.port}` };
    pod.process = await startRegistryProcess({
      settings: {
        database: { url: `postgres://${url.username}@127.0.0.1:${database.port}${url.pathname}` },
        storage: { s3: bucket },
        spool: { folder: this.#folder, lowWaterBytes: 0 },
        gc: this.#options.gc,
        backup: { interval: "0s" }, // else gc.doomDelay is two days
        ...this.#options.settings,
      },
      env: { ...credentialsOf(this.#s3.settings), ...(failpoints === undefined ? {} : { FAILPOINT: failpoints }) },
      node: failpoints === undefined ? [] : ["--conditions=failpoints"],
    });
  }

  async killPod(pod: Pod): Promise<void> {
    const killed = pod.process;
    pod.process = undefined;
    killed?.signal("SIGKILL");
    await killed?.exited;
  }

  crashPostgres(): Promise<void> {
    return this.#database.crash();
  }

  async crashS3(): Promise<void> {
    await this.#s3.kill9();
    this.#s3 = await this.#s3.restart();
  }

  /** The six invariants as far as rows and objects show them. */
  async violations(options: { readonly collected: boolean }): Promise<string[]> {
    const client = new Client({ connectionString: this.#database.url() });
    await client.connect();
    const store = await S3BlobStore.open(this.#s3.settings);
    try {
      const ask = async <Row>(sql: string) => (await client.query(sql)).rows as Row[];
      const read = async (key: string) => {
        const reader = await store.open(key);
        const bytes = Buffer.alloc(reader.size);
        for (let position = 0; position < bytes.byteLength;) position += await reader.read(bytes.subarray(position), position);
        await reader.close();
        return bytes;
      };
      return await findViolations(ask, { list: () => store.list(), read }, options);
    } finally {
      await client.end();
      await store.close();
    }
  }

  /** Objects that the pods which run now have deleted. */
  async collected(): Promise<number> {
    let sum = 0;
    for (const url of this.urls()) {
      const metrics = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${processToken}` } })).text();
      sum += Number(/^wharfinger_gc_swept_objects_total (\d+)/m.exec(metrics)?.[1] ?? 0);
    }
    return sum;
  }

  async ask<Row>(sql: string): Promise<Row[]> {
    const client = new Client({ connectionString: this.#database.url() });
    await client.connect();
    try {
      return (await client.query(sql)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  logs(): string {
    return this.pods.map(({ number, process }) => `pod ${number}:\n${process?.logs().slice(-3000) ?? "not running"}`).join("\n");
  }

  async stop(): Promise<void> {
    for (const pod of this.pods) pod.process?.signal("SIGKILL");
    for (const { process } of this.pods) await process?.exited;
    for (const { hops } of this.pods) await Promise.all([hops.database.stop(), hops.s3.stop()]);
    await this.s3Errors?.stop();
    await this.#s3.stop();
    await this.#database.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
