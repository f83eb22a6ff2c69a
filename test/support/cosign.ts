// Signing as publishers do: the real cosign, with a key, attestations in the `sha256-<hex>.att` tag or, as is its default, in bundles among the referrers.

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { use } from "./programs.ts";

export interface CosignKey {
  /** PEM */
  readonly publicKey: string;
  /** Attaches an attestation of `predicate` to `reference` (host/repository@digest). */
  attest(
    reference: string,
    type: "slsaprovenance1" | "slsaprovenance02" | "spdxjson" | "spdx" | "cyclonedx" | "https://apko.dev/image-configuration",
    predicate: unknown,
    options?: { readonly layout: "Tag" | "Bundle" },
  ): Promise<void>;
  remove(): Promise<void>;
}

export type KeyAlgorithm = "ecdsa-p256" | "ecdsa-p384" | "rsa" | "ed25519";

/** A key of cosign's own making (ECDSA P-256), or another kind made by Node and imported by cosign. */
export async function createCosignKey(algorithm: KeyAlgorithm = "ecdsa-p256"): Promise<CosignKey> {
  const folder = await mkdtemp(join(tmpdir(), "wharfinger-cosign-"));
  const env = { COSIGN_PASSWORD: "", TUF_ROOT: join(folder, "tuf"), DOCKER_CONFIG: folder };
  if (algorithm === "ecdsa-p256") await use("cosign", ["generate-key-pair"], { cwd: folder, env });
  else {
    await writeFile(join(folder, "private.pem"), privateKey(algorithm).export({ type: "pkcs8", format: "pem" }));
    await use("cosign", ["import-key-pair", "--key", "private.pem", "--output-key-prefix", "cosign", "-y"], { cwd: folder, env });
  }
  return {
    publicKey: await readFile(join(folder, "cosign.pub"), "utf8"),
    async attest(reference, type, predicate, { layout: form } = { layout: "Tag" }) {
      await writeFile(join(folder, "predicate.json"), JSON.stringify(predicate));
      const layout = [`--new-bundle-format=${form === "Bundle"}`, "--use-signing-config=false", "--tlog-upload=false"];
      const args = [
        "attest",
        "--key",
        "cosign.key",
        "--type",
        type,
        "--predicate",
        "predicate.json",
        ...layout,
        "--allow-insecure-registry",
        "-y",
        reference,
      ];
      await use("cosign", args, { cwd: folder, env });
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

function privateKey(algorithm: Exclude<KeyAlgorithm, "ecdsa-p256">): KeyObject {
  if (algorithm === "rsa") return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  return algorithm === "ed25519"
    ? generateKeyPairSync("ed25519").privateKey
    : generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
}

/** SLSA v1 provenance as Chainguard writes it: the package's version as an internal parameter. */
export function slsaProvenance(versions: Readonly<Record<string, string>>): unknown {
  return {
    buildDefinition: {
      buildType: "https://apko.dev/slsa-build-type@v1",
      externalParameters: {},
      internalParameters: versions,
      resolvedDependencies: [],
    },
    runDetails: { builder: { id: "https://github.com/chainguard-images/images/.github/workflows/release.yaml" }, metadata: {} },
  };
}

/** A small SPDX 2.3 document with one package for each name. */
export function spdxDocument(versions: Readonly<Record<string, string>>): unknown {
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: "sbom",
    documentNamespace: "https://example.com/sbom",
    creationInfo: { created: "2026-11-01T00:00:00Z", creators: ["Tool: apko"] },
    packages: Object.entries(versions).map(([name, versionInfo]) => ({
      name,
      SPDXID: `SPDXRef-Package-${name}`,
      versionInfo,
      downloadLocation: "NOASSERTION",
      externalRefs: [
        {
          referenceCategory: "PACKAGE-MANAGER",
          referenceType: "purl",
          referenceLocator: `pkg:apk/wolfi/${name}@${versionInfo}?arch=x86_64`,
        },
      ],
    })),
  };
}
