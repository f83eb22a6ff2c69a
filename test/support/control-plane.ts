// A control plane with real parts: a folder of resources, a Git repository, a registry over HTTP on a real database.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client } from "pg";
import { pino } from "pino";

import type { MintProposal } from "../../src/api/control/proposals.ts";
import type { ResourceView } from "../../src/api/control/resources.ts";
import { ControlClient } from "../../src/client/control-client.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { startControlPlane, type ControlPlane, type ControlPlaneOptions } from "../../src/operator/control-plane.ts";
import type { NamedSecret } from "../../src/record/named-secret.ts";
import type { JobKind, JobOutcome, ResourceSnapshot } from "../../src/operator/ports.ts";
import type { RemoteOptions } from "../../src/record/remote-options.ts";
import { openRecord, type GitRecord } from "../../src/record/repository.ts";
import { openFolderSource, type FolderSource } from "../../src/standalone/folder-source.ts";
import { gitAsPerson } from "./persons-git.ts";
import { adminToken, startTestRegistry, type TestRegistry } from "./registry.ts";
import { createTokenCluster } from "./token-cluster.ts";

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), "wharfinger-plane-"));
  readonly config: string;
  readonly recordFolder = join(this.folder, "record");
  readonly log: { level: number; msg: string }[] = [];
  readonly logger = pino(
    { level: "debug" },
    { write: (line: string) => this.log.push(JSON.parse(line) as { level: number; msg: string }) },
  );
  /** Runs of jobs that were asked for. */
  readonly runs: string[] = [];
  outcome: Partial<JobOutcome> = {};
  /** The clock of the record's commits. */
  now: () => Date = () => new Date();
  registry!: TestRegistry;
  /** For the test's own hands: with the admin token. */
  client!: ControlClient;
  /** The control plane's: what it may do in a cluster is enough. */
  operator!: ControlClient;
  source!: FolderSource;
  record!: GitRecord;
  plane: ControlPlane | undefined;
  /** Where the record is, when it is not the folder. */
  remote: RemoteOptions | undefined;
  signingKey: NamedSecret | undefined;
  allowedSigners: readonly string[] | undefined;
  /** The folder as the control plane sees it. */
  seen: (snapshot: ResourceSnapshot) => ResourceSnapshot = (snapshot) => snapshot;

  /** `config`: somebody else's folder of resources. */
  constructor(config?: string) {
    this.config = config ?? join(this.folder, "config");
    mkdirSync(this.config, { recursive: true });
  }

  static async create(): Promise<World> {
    const world = new World();
    await world.startRegistry();
    return world;
  }

  async startRegistry(): Promise<void> {
    const cluster = await createTokenCluster();
    this.registry = await startTestRegistry({ settings: cluster.settings });
    this.operator = new ControlClient({ url: this.registry.url, token: await cluster.operatorToken() });
    this.client = new ControlClient({ url: this.registry.url, token: adminToken });
  }

  /** As after the loss of the database: another registry, empty. */
  async loseDatabase(): Promise<void> {
    await Promise.all([this.client.close(), this.operator.close()]);
    await this.registry.stop();
    await this.startRegistry();
  }

  async start(options: Partial<Pick<ControlPlaneOptions, "client" | "times">> & { installation?: string } = {}): Promise<ControlPlane> {
    const { logger, config } = this;
    // A test changes a file in one step, and nobody waits for an editor.
    this.source = await openFolderSource(config, { logger, times: { pause: 50, settle: 20 } });
    this.record = await openRecord({
      folder: this.recordFolder,
      author: { name: "Wharfinger", email: "wharfinger@localhost" },
      logger,
      now: () => this.now(),
      ...(options.installation === undefined ? {} : { installation: options.installation }),
      remote: this.remote,
      signingKey: this.signingKey,
      allowedSigners: this.allowedSigners,
    });
    this.plane = await startControlPlane({
      source: { snapshot: () => this.seen(this.source.snapshot()), onChange: (listener) => this.source.onChange(listener) },
      secrets: this.source,
      users: defaultSettings.access.users.secretRef,
      record: this.record,
      client: options.client ?? this.operator,
      logger,
      tenants: [],
      ...(options.times === undefined ? {} : { times: options.times }),
      jobsAtOnce: defaultSettings.jobs.maxConcurrent,
      jobs: { run: ({ kind, policy, trigger }) => this.#run(kind, policy, trigger) },
    });
    await this.plane.ready;
    return this.plane;
  }

  /** The process ends; folders and registry stay. */
  async stop(): Promise<void> {
    await this.plane?.stop();
    await this.record?.close();
    await this.source?.close();
    this.plane = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    await Promise.all([this.client.close(), this.operator.close()]);
    await this.registry.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** In one step: the folder is looked at any moment. */
  write(file: string, text: string): void {
    const written = join(this.folder, "written");
    writeFileSync(written, text);
    renameSync(written, join(this.config, file));
  }

  remove(file: string): void {
    rmSync(join(this.config, file));
  }

  upstream(name: string, fields = "", prefix = name): void {
    this.write(`${name}.yaml`, upstreamDocument(name, fields, prefix));
  }

  /** Several in one file: they go at once with it. Of several files a look may find some gone and the others there. */
  upstreamsOf(file: string, names: readonly string[]): void {
    this.write(file, names.map((name) => upstreamDocument(name)).join("---\n"));
  }

  tagPolicy(name: string, fields = ""): void {
    this.write(
      `${name}.yaml`,
      `apiVersion: wharfinger.dev/v1alpha1\nkind: TagPolicy\nmetadata: {name: ${name}}\nspec:\n  upstreamRef: {name: cgr}\n  images: [{repository: chainguard/nginx}]\n  verify: {mode: Unverified}\n${fields}`,
    );
  }

  /** git as a person runs it in the record. */
  git(...args: string[]): string {
    return gitAsPerson(this.recordFolder, ...args);
  }

  head(): string {
    return this.git("rev-parse", "HEAD");
  }

  subjects(): string[] {
    return this.git("log", "--format=%s").split("\n");
  }

  view(key: string): ResourceView {
    const found = this.plane?.views().find(({ kind, namespace, name }) => `${kind}/${namespace}/${name}` === key);
    if (found === undefined) throw new Error(`there is no view of ${key}`);
    return found;
  }

  condition(key: string, type: string): { status: string; reason: string; message: string } | undefined {
    return this.view(key).status.conditions.find((condition) => condition.type === type);
  }

  /** The published spec of a resource. */
  async served(key: string): Promise<Record<string, unknown> | undefined> {
    const [row] = await this.sql<{
      document: { resources: { kind: string; namespace: string; name: string; spec: Record<string, unknown> }[] };
    }>("SELECT document FROM record");
    return row?.document.resources.find(({ kind, namespace, name }) => `${kind}/${namespace}/${name}` === key)?.spec;
  }

  /** Published version tags of a repository. */
  async versions(repository: string): Promise<string[]> {
    const rows = await this.sql<{ tag: string }>(
      "SELECT l.tag FROM ledger l JOIN repositories r ON r.id = l.repository WHERE r.name = $1 ORDER BY l.tag",
      [repository],
    );
    return rows.map(({ tag }) => tag);
  }

  /** A proposal as the registry stores it after its checks; nothing is copied for it. `build`: its digest, or a letter for one. Returns its id. */
  async propose(
    version: string,
    build: string,
    tags: readonly string[] = [version],
    signer: Partial<MintProposal["build"]["evidence"]> = {},
  ): Promise<string> {
    const body: MintProposal = {
      kind: "mint",
      run: "",
      repository: "chainguard/nginx",
      build: {
        version,
        digest: build.length === 1 ? `sha256:${build.repeat(64)}` : build,
        sourceTag: "latest",
        seen: "2026-11-21T09:30:00Z",
        evidence: {
          type: "SPDX",
          attestation: `sha256:${"f".repeat(64)}`,
          predicateType: "https://spdx.dev/Document",
          platforms: ["linux/amd64"],
          ...signer,
        },
      },
      tags: [...tags],
      onRebuild: "Newest",
      evidenceManifests: [],
    };
    const [row] = await this.sql<{ id: string }>(
      "INSERT INTO proposals (kind, policy, repository, body) VALUES ('mint', 'default/nginx', 'cgr/chainguard/nginx', $1) RETURNING id::text",
      [JSON.stringify(body)],
    );
    return row?.id ?? "";
  }

  async sql<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new Client({ connectionString: this.registry.databaseUrl });
    await client.connect();
    try {
      return (await client.query(text, values)).rows as Row[];
    } finally {
      await client.end();
    }
  }

  async #run(kind: JobKind, policy: string, trigger: string): Promise<JobOutcome> {
    this.runs.push(`${kind} ${policy} ${trigger}`);
    return { run: `run-${this.runs.length}`, succeeded: true, message: "done", result: {}, ...this.outcome };
  }
}

function upstreamDocument(name: string, fields = "", prefix = name): string {
  return `apiVersion: wharfinger.dev/v1alpha1\nkind: Upstream\nmetadata: {name: ${name}}\nspec:\n  url: https://${name}.example.org\n  prefix: ${prefix}\n${fields}`;
}
