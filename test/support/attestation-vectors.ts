// What the vectors of test/integration/attestation-*.test.ts share: keys, a real registry, and statements about one image.

import { generateKeyPairSync, type KeyObject } from "node:crypto";

import { RegistryClient } from "../../src/client/registry-client.ts";
import { digestOf } from "../../src/domain/digest.ts";
import { readPublicKey, type PublicKey } from "../../src/domain/public-key.ts";
import { attestationTag } from "../../src/jobs/attestation/discovery.ts";
import { readEvidence, type EvidenceAnswer, type EvidenceQuestion } from "../../src/jobs/attestation/evidence.ts";
import { attach, envelope, statement, type AttachedLayer } from "./attachments.ts";
import { slsaProvenance } from "./cosign.ts";
import { startDistribution, type Distribution } from "./distribution.ts";

export const slsa = "https://slsa.dev/provenance/v1";
export const spdx = "https://spdx.dev/Document";
export const cyclonedx = "https://cyclonedx.org/bom";
export const apko = "https://apko.dev/image-configuration";
export const image = digestOf("the image");
export const other = digestOf("another image");

export const trusted = generateKeyPairSync("ec", { namedCurve: "P-256" });
export const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
export const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
export const ed25519 = generateKeyPairSync("ed25519");
export const rsa = generateKeyPairSync("rsa", { modulusLength: 3072 });

export function readKey(name: string, key: KeyObject): PublicKey {
  const read = readPublicKey(name, key.export({ type: "spki", format: "pem" }).toString());
  if ("problem" in read) throw new Error(read.problem);
  return read;
}
export const keys = [trusted, p384, ed25519, rsa].map(({ publicKey }, index) => readKey(`keys/${index}.pub`, publicKey));

export type Layers = readonly AttachedLayer[];

/** One vector: its name, what is attached, how the question differs from the usual one. */
export interface Vector {
  readonly name: string;
  readonly layers: () => Layers;
  readonly question?: Partial<EvidenceQuestion>;
}

export interface VectorRegistry {
  readonly upstream: Distribution;
  readonly registry: RegistryClient;
  /** Attaches the layers to `image` in a repository of its own and reads the version. */
  ask(layers: Layers, question?: Partial<EvidenceQuestion>): Promise<EvidenceAnswer>;
  stop(): Promise<void>;
}

export async function startVectorRegistry(): Promise<VectorRegistry> {
  const upstream = await startDistribution();
  const registry = new RegistryClient({ url: upstream.url });
  let count = 0;
  return {
    upstream,
    registry,
    async ask(layers, question = {}) {
      const repository = `vectors/${++count}`;
      await attach(upstream.url, repository, attestationTag(image), layers);
      const usual = { evidence: [{ type: "SLSAProvenance" as const }, { type: "SPDX" as const }], package: "nginx", signers: { keys } };
      return readEvidence(registry, { repository, digest: image, ...usual, ...question });
    },
    async stop() {
      await registry.close();
      await upstream.stop();
    },
  };
}

export interface MadeEnvelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly { readonly sig: string; readonly keyid: string }[];
}

/** Text as it is, anything else as JSON. */
export const bytes = (value: unknown): Buffer => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
export const layer = (value: unknown, predicateType: string = slsa): AttachedLayer => ({ bytes: bytes(value), predicateType });
export const signed = (
  value: unknown,
  key: KeyObject = trusted.privateKey,
  options: { payloadType?: string; hash?: string | null } = {},
): MadeEnvelope => envelope(typeof value === "string" ? value : JSON.stringify(value), key, options) as MadeEnvelope;
export const good = (
  predicate: unknown = slsaProvenance({ nginx: "1.27.3-r2" }),
  type = slsa,
  options: Parameters<typeof statement>[3] = {},
): Record<string, unknown> => statement(image, type, predicate, options);
export const subject = (value: unknown): Layers => [layer(signed(good(undefined, slsa, { subject: value })))];
