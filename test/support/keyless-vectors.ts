// What the tests of keyless evidence share: one image, one publisher, and its attestations in every form, each part of which can be made wrong.

import { digestOf, type Digest } from "../../src/domain/digest.ts";
import { mediaTypes } from "../../src/domain/media-types.ts";
import type { WantedIdentity } from "../../src/domain/signer-identity.ts";
import { attestationTag, type ContentSource } from "../../src/jobs/attestation/discovery.ts";
import { readEvidence, type EvidenceAnswer, type EvidenceQuestion } from "../../src/jobs/attestation/evidence.ts";
import { readTrustAnchors } from "../../src/jobs/attestation/trust-anchors.ts";
import { statement } from "./attachments.ts";
import { slsaProvenance } from "./cosign.ts";
import {
  annotationsOf,
  bundleOf,
  createSigstore,
  entryOf,
  envelopeJson,
  issuer,
  signEnvelope,
  subject,
  type CertificateWishes,
  type EntryKind,
  type Signed,
  type Signer,
  type Sigstore,
} from "./sigstore.ts";

export const image = digestOf("the image");
export const slsa = "https://slsa.dev/provenance/v1";
export const publisher: WantedIdentity = { issuer, subject };

export interface Layer {
  readonly bytes: Uint8Array;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Referring extends Layer {
  /** As the list says, when it says something else than the manifest. */
  readonly listedType?: string | null;
  readonly subject?: Digest;
}

export interface Attached {
  readonly tag?: readonly Layer[];
  readonly referrers?: readonly Referring[];
}

export interface SigningWishes {
  readonly statement?: Record<string, unknown>;
  readonly payloadType?: string;
  readonly certificate?: CertificateWishes;
  readonly signer?: Signer;
  readonly kind?: EntryKind;
  /** Seconds from now at which the log takes it in. */
  readonly after?: number;
}

export interface KeylessVectors {
  readonly sigstore: Sigstore;
  /** Another one, in all but the keys. */
  readonly stranger: Sigstore;
  /** A good signature over a good statement, apart from what is wished. */
  readonly sign: (wishes?: SigningWishes) => Promise<Signed>;
  readonly ask: (attached: Attached, question?: Partial<EvidenceQuestion>) => Promise<EvidenceAnswer>;
}

export const good = (part: { predicateType?: string; digest?: Digest; version?: string } = {}): Record<string, unknown> =>
  statement(part.digest ?? image, part.predicateType ?? slsa, slsaProvenance({ nginx: part.version ?? "1.27.3-r2" }));

export async function createKeylessVectors(): Promise<KeylessVectors> {
  const [sigstore, stranger] = await Promise.all([createSigstore(), createSigstore()]);
  const signers = { keys: [], keyless: { identities: [publisher], anchors: readTrustAnchors(sigstore.trustedRoot, new Date()) } };
  return {
    sigstore,
    stranger,
    async sign({ statement = good(), payloadType, certificate, signer, kind = "dsse 0.0.1", after } = {}) {
      const by = signer ?? (await sigstore.certify(certificate));
      const envelope = signEnvelope(JSON.stringify(statement), by.key, payloadType);
      const entry = await sigstore.log(entryOf(kind, envelope, by.certificate), after);
      return { envelope, certificate: by.certificate, entries: [entry], timestamps: [] };
    },
    ask(attached, question) {
      const usual = { evidence: [{ type: "SLSAProvenance" as const }], package: "nginx", signers };
      return readEvidence(contentOf(attached), { repository: "cgr/chainguard/nginx", digest: image, ...usual, ...question });
    },
  };
}

/** The question of a policy that names these identities. */
export function wanting(sigstore: Sigstore, ...identities: readonly WantedIdentity[]): Pick<EvidenceQuestion, "signers"> {
  return { signers: { keys: [], keyless: { identities, anchors: readTrustAnchors(sigstore.trustedRoot, new Date()) } } };
}

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
export const asBundle = (signed: Signed, version: "0.1" | "0.2" | "0.3" = "0.3"): Attached => ({
  referrers: [{ bytes: json(bundleOf(signed, version)) }],
});
export const asLayer = (signed: Signed): Attached => ({
  tag: [{ bytes: json(envelopeJson(signed.envelope)), annotations: annotationsOf(signed) }],
});

/** A registry that has nothing else. */
function contentOf({ tag, referrers = [] }: Attached): ContentSource {
  const blobs = new Map([...(tag ?? []), ...referrers].map(({ bytes }) => [digestOf(bytes), bytes]));
  const manifests = new Map<string, Buffer>();
  const put = (manifest: object) => {
    const bytes = json(manifest);
    manifests.set(digestOf(bytes), bytes);
    return bytes;
  };
  const layerOf = ({ bytes, mediaType, annotations }: Layer, usual: string) => ({
    mediaType: mediaType ?? usual,
    digest: digestOf(bytes),
    size: bytes.length,
    annotations,
  });
  if (tag !== undefined) manifests.set(attestationTag(image), put({ layers: tag.map((layer) => layerOf(layer, mediaTypes.dsse)) }));
  const listed = referrers.map((referring) => {
    const manifest = {
      artifactType: mediaTypes.sigstoreBundle,
      subject: { digest: referring.subject ?? image },
      layers: [layerOf(referring, mediaTypes.sigstoreBundle)],
    };
    const artifactType = referring.listedType === undefined ? manifest.artifactType : referring.listedType;
    return { digest: digestOf(put(manifest)), ...(artifactType === null ? {} : { artifactType }) };
  });
  return {
    async manifest(_, reference) {
      const bytes = manifests.get(reference);
      return bytes && { digest: digestOf(bytes), mediaType: mediaTypes.ociManifest, bytes };
    },
    async blob(_, digest) {
      const bytes = blobs.get(digest);
      if (bytes === undefined) throw Object.assign(new Error(`no blob ${digest}`), { code: "NotFound" });
      return bytes;
    },
    async referrers() {
      return listed;
    },
  };
}
