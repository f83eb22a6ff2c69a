// Attestations as anybody could attach them: envelopes made by hand, pushed to a real registry under cosign's `sha256-<hex>.att` tag.

import { sign, type KeyObject } from "node:crypto";

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import { preAuthenticationEncoding } from "../../src/jobs/attestation/envelope.ts";

export interface AttachedLayer {
  readonly bytes: Uint8Array;
  readonly mediaType?: string;
  /** The unsigned hint. */
  readonly predicateType?: string;
  /** What the manifest says, when it lies. */
  readonly size?: number;
  /** Of the layer, beside the hint. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Listed in the manifest and never pushed. */
  readonly absent?: boolean;
}

/** Pushes `layers` as one manifest under `tag`. Resolves with the manifest's digest. */
export async function attach(registry: string, repository: string, tag: string, layers: readonly AttachedLayer[]): Promise<Digest> {
  const config = Buffer.from("{}");
  for (const bytes of [config, ...layers.filter(({ absent }) => absent !== true).map(({ bytes }) => bytes)]) {
    await pushBlob(registry, repository, bytes);
  }
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", size: config.length, digest: digestOf(config) },
    layers: layers.map(({ bytes, mediaType, predicateType, size, annotations }) => ({
      mediaType: mediaType ?? mediaTypes.dsse,
      size: size ?? bytes.length,
      digest: digestOf(bytes),
      annotations: { "dev.cosignproject.cosign/signature": "", ...(predicateType === undefined ? {} : { predicateType }), ...annotations },
    })),
  });
  await expectStatus(201, `${registry}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": mediaTypes.ociManifest },
    body: manifest,
  });
  return digestOf(manifest);
}

/** Pushes a Sigstore bundle about `digest`, and the fallback tag that names it, as clients do where there is no referrers API. Resolves with the manifest's digest. */
export async function refer(registry: string, repository: string, digest: Digest, bundle: Uint8Array): Promise<Digest> {
  const config = Buffer.from("{}");
  for (const bytes of [config, bundle]) await pushBlob(registry, repository, bytes);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.sigstoreBundle,
    config: { mediaType: mediaTypes.ociEmpty, size: config.length, digest: digestOf(config) },
    layers: [{ mediaType: mediaTypes.sigstoreBundle, size: bundle.length, digest: digestOf(bundle) }],
    subject: { mediaType: mediaTypes.ociManifest, size: 1, digest },
  });
  const descriptor = { mediaType: mediaTypes.ociManifest, size: manifest.length, digest: digestOf(manifest) };
  const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [descriptor] });
  for (const [reference, mediaType, body] of [
    [descriptor.digest, mediaTypes.ociManifest, manifest],
    [digest.replace(":", "-"), mediaTypes.ociIndex, index],
  ] as const) {
    await expectStatus(201, `${registry}/v2/${repository}/manifests/${reference}`, {
      method: "PUT",
      headers: { "content-type": mediaType },
      body,
    });
  }
  return descriptor.digest;
}

async function pushBlob(registry: string, repository: string, bytes: Uint8Array): Promise<void> {
  const opened = await expectStatus(202, `${registry}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = new URL(opened.headers.get("location") ?? "", registry);
  location.searchParams.set("digest", digestOf(bytes));
  await expectStatus(201, location.href, { method: "PUT", body: Buffer.from(bytes) });
}

async function expectStatus(status: number, url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init);
  const body = await answer.text();
  if (answer.status !== status) throw new Error(`${init.method} ${url}: ${answer.status} ${body}`);
  return answer;
}

/** A DSSE envelope over `payload`, signed as cosign does it. */
export function envelope(
  payload: string | Uint8Array,
  key: KeyObject,
  options: { payloadType?: string; hash?: string | null } = {},
): unknown {
  const payloadType = options.payloadType ?? mediaTypes.inToto;
  const bytes = Buffer.from(payload);
  const hash = key.asymmetricKeyType === "ed25519" ? null : (options.hash ?? "sha256");
  const signature = sign(hash, preAuthenticationEncoding({ payloadType, payload: bytes }), key);
  return { payloadType, payload: bytes.toString("base64"), signatures: [{ keyid: "", sig: signature.toString("base64") }] };
}

/** An in-toto statement about `digest`. */
export function statement(
  digest: Digest,
  predicateType: string,
  predicate: unknown,
  options: { type?: string; subject?: unknown } = {},
): Record<string, unknown> {
  return {
    _type: options.type ?? "https://in-toto.io/Statement/v0.1",
    subject: options.subject ?? [{ name: "image", digest: { sha256: digest.slice("sha256:".length) } }],
    predicateType,
    predicate,
  };
}
