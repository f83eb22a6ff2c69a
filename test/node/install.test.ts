// docs/guides/install.md, word by word: each of its commands, in its order, on a real node.

import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { createCertificates } from "../support/certificates.ts";
import type { NodeAccess } from "../support/node/node.ts";
import { startReader, type Reader } from "../support/node/reader.ts";
import { sharedNode, sharedProduct } from "../support/node/shared-node.ts";
import { startSurroundings, type Surroundings } from "../support/node/surroundings.ts";
import { commandsOf, runCommands } from "../support/page-commands.ts";

const root = resolve(import.meta.dirname, "../..");
const blocks = await commandsOf(join(root, "docs/guides/install.md"));
/** What a reader sets himself (`sh yours`), the run sets. */
const commands = blocks.filter(({ mark }) => mark !== "yours");

let node: NodeAccess;
let surroundings: Surroundings;
let reader: Reader;
/** Name → text, in the reader's folder. */
let files: Readonly<Record<string, string>>;

beforeAll(async () => {
  node = await sharedNode();
  surroundings = await startSurroundings(node);
  const environment = await yours();
  reader = await startReader(node, { environment });
  for (const [name, text] of Object.entries(files)) await writeFile(join(reader.folder, name), text);
});
afterAll(async () => {
  await surroundings?.stop();
  await reader?.stop();
});

test("the page has commands, and none that are marked otherwise than as they are read here", () => {
  expect(commands.length).toBeGreaterThan(9);
  expect([...new Set(blocks.map(({ mark }) => mark))].sort()).toEqual(["", "yours"]);
});

test.each(commands)("$named", async (block) => {
  if (block.text.includes("$HOST/")) await leadHostToService();
  const { code, stdout, stderr } = await runCommands(block, reader);
  const pods = code === 0 ? "" : (await node.api.kubectl(["describe", "pods", "--all-namespaces"])).stdout;
  expect({ code, said: code === 0 ? "" : `${stdout}${stderr}${pods}` }).toEqual({ code: 0, said: "" });
});

/** Files and addresses, under the names that the page gives them. */
async function yours(): Promise<Record<string, string>> {
  const { repository, digest } = sharedProduct();
  const database = await surroundings.createDatabase();
  const { settings: s3 } = surroundings.s3;
  const { secret } = surroundings.git;
  const host = "registry.example.com";
  const services = ["wharfinger.wharfinger.svc", "wharfinger-control.wharfinger.svc"];
  const registry = await createCertificates("127.0.0.1", [host, ...services]);
  files = {
    DATABASE_PASSWORD_FILE: database.password,
    DATABASE_CA_FILE: surroundings.authority,
    BUCKET_ACCESS_KEY_ID_FILE: s3.credentials.accessKeyId,
    BUCKET_SECRET_ACCESS_KEY_FILE: s3.credentials.secretAccessKey,
    GIT_PASSWORD_FILE: secret["password"] ?? "",
    GIT_CA_FILE: secret["ca.crt"] ?? "",
    TLS_CERTIFICATE_FILE: registry.server.cert,
    TLS_KEY_FILE: registry.server.key,
    TLS_CA_FILE: registry.authority,
  };
  return {
    ...Object.fromEntries(Object.keys(files).map((name) => [name, name])),
    IMAGE: repository,
    TAG: digest.replace(":", "-"),
    HOST: host,
    SERVICE: "ClusterIP",
    DATABASE_URL: database.url,
    BUCKET: s3.bucket,
    BUCKET_REGION: s3.region,
    BUCKET_ENDPOINT: s3.endpoint ?? "",
    GIT_URL: surroundings.git.urlOf(surroundings.git.repository("install")),
    GIT_USERNAME: secret["username"] ?? "",
  };
}

/** The name, and the trust of nodes: what the page leaves to the guide of nodes. */
async function leadHostToService(): Promise<void> {
  const { stdout } = await node.api.kubectl(["-n", "wharfinger", "get", "service/wharfinger", "-o", "jsonpath={.spec.clusterIP}"]);
  const host = reader.environment["HOST"] ?? "";
  await node.announce(host, stdout);
  await node.setRegistryHost(host, { server: `https://${host}`, authority: await readFile(join(reader.folder, "TLS_CA_FILE"), "utf8") });
}
