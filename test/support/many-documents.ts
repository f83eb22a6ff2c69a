// A worker: reads the evidence of an image to which as many documents are attached as are read, each small in bytes and large in memory. What it
// may take is whoever starts it to say (`resourceLimits`).

import { parentPort } from "node:worker_threads";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { maxDocuments, type ContentSource } from "../../src/jobs/attestation/discovery.ts";
import { readEvidence } from "../../src/jobs/attestation/evidence.ts";
import { statement } from "./attachments.ts";

const image = digestOf("the image");
const predicateType = "https://spdx.dev/Document";
/** Empty objects of a document: 0.6 MB as it is written, 13 as it is read. */
const values = 200_000;

function document(number: number): Buffer {
  const files = `[${"{},".repeat(values)}{}]`;
  const said = statement(image, predicateType, { spdxVersion: "SPDX-2.3", packages: [{ name: "app", versionInfo: "1.2.3" }], number });
  const payload = JSON.stringify(said).replace('"number"', `"files":${files},"number"`);
  const signatures = [{ keyid: "", sig: Buffer.from("nobody's").toString("base64") }];
  return Buffer.from(JSON.stringify({ payloadType: mediaTypes.inToto, payload: Buffer.from(payload).toString("base64"), signatures }));
}

const digests = Array.from({ length: maxDocuments }, (_, number) => digestOf(document(number)));
const layers = digests.map((digest) => ({ mediaType: mediaTypes.dsse, digest, size: 1, annotations: { predicateType } }));
const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, layers }));
const source: ContentSource = {
  manifest: async () => ({ digest: digestOf(bytes), mediaType: mediaTypes.ociManifest, bytes }),
  blob: async (_, digest: Digest) => document(digests.indexOf(digest)),
  referrers: async () => [],
};

const evidence = [{ type: "SPDX" as const }, { type: "SPDX" as const, parameter: "other" }];
const answer = await readEvidence(source, { repository: "up/app", digest: image, evidence, package: "app", signers: "Unverified" });
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(answer.version);
