// `helm test`: the registry speaks the protocol to the test's own ServiceAccount and to nobody's, the control API is not where images are, and where
// IMAGE is given, that can be pulled, bytes and digests compared.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

const { REGISTRY, TOKEN_FILE, IMAGE } = process.env;
const login = (password) => ({ authorization: `Basic ${Buffer.from(`serviceaccount:${password}`).toString("base64")}` });
const ours = login((await readFile(TOKEN_FILE, "utf8")).trim());

async function ask(path, headers = {}) {
  const answer = await fetch(REGISTRY + path, { headers }).catch((error) => {
    throw new Error(`${REGISTRY} does not answer: ${error.cause?.message ?? error.message}`);
  });
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()), type: answer.headers.get("content-type") };
}

async function expectStatus(path, wanted, headers) {
  const { status, bytes } = await ask(path, headers);
  if (status !== wanted) throw new Error(`${path} is answered with ${status}, not ${wanted}: ${bytes.toString("utf8", 0, 500)}`);
  process.stdout.write(`${path}: ${status}\n`);
}

const manifestTypes = ["application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"]
  .concat(["application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json"])
  .join(", ");

async function get(repository, kind, reference) {
  const path = `/v2/${repository}/${kind}/${reference}`;
  const { status, bytes } = await ask(path, { ...ours, accept: kind === "manifests" ? manifestTypes : "*/*" });
  if (status !== 200) throw new Error(`${path} is answered with ${status}: ${bytes.toString("utf8", 0, 500)}`);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (reference.startsWith("sha256:") && digest !== reference) throw new Error(`${path} has the digest ${digest}`);
  process.stdout.write(`${path}: ${bytes.length} bytes, ${digest}\n`);
  return bytes;
}

/** Manifest (the first of an index), config and the smallest layer. */
async function pull(image) {
  const [, repository, reference] = /^([^:@]+)[:@](.+)$/.exec(image);
  const top = JSON.parse(await get(repository, "manifests", reference));
  const manifest = top.manifests === undefined ? top : JSON.parse(await get(repository, "manifests", top.manifests[0].digest));
  await get(repository, "blobs", manifest.config.digest);
  const [smallest] = manifest.layers.toSorted((a, b) => a.size - b.size);
  if (smallest !== undefined) await get(repository, "blobs", smallest.digest);
}

try {
  await expectStatus("/v2/", 200, ours);
  await expectStatus("/v2/", 401, login("nobody's"));
  await expectStatus("/api/v1/record", 404, ours);
  if (IMAGE !== undefined) await pull(IMAGE);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
