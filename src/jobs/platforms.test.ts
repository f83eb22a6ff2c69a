// Which manifests of an index have to be vouched for: all that some node may take for its own, however an attacker labels them.

import { expect, test } from "vitest";

import { statement } from "../../test/support/attachments.ts";
import { slsaProvenance } from "../../test/support/cosign.ts";
import { digestOf, type Digest } from "../domain/digest.ts";
import { mediaTypes } from "../domain/media-types.ts";
import { readAgreedVersion } from "./agreed-version.ts";
import { attestationTag, type ContentSource } from "./attestation/discovery.ts";
import { partsOf } from "./platforms.ts";

const repository = "cgr/chainguard/nginx";
const amd64 = { os: "linux", architecture: "amd64" };
const arm64 = { os: "linux", architecture: "arm64", variant: "v8" };
const attestation = { os: "unknown", architecture: "unknown" };

interface Child {
  readonly platform?: unknown;
  /** What its attestations say, one each; none by default. */
  readonly versions?: readonly string[];
}
const signed = (platform: unknown, ...versions: readonly string[]): Child => ({ platform, versions });

/** An index of these children. Its `.att` tags are read without verification here: it is about what is asked for. */
function world(
  children: readonly Child[],
  ofIndex: readonly string[] = [],
): ContentSource & { readonly index: Digest; of(at: number): Digest } {
  const contents = new Map<string, { readonly mediaType: string; readonly bytes: Buffer }>();
  const put = (content: object, mediaType: string, name?: string): Digest => {
    const bytes = Buffer.from(JSON.stringify(content));
    for (const reference of [digestOf(bytes), ...(name === undefined ? [] : [name])]) contents.set(reference, { mediaType, bytes });
    return digestOf(bytes);
  };
  const attest = (digest: Digest, versions: readonly string[]) => {
    if (versions.length === 0) return;
    const layers = versions.map((version) => {
      const said = statement(digest, "https://slsa.dev/provenance/v1", slsaProvenance({ nginx: version }));
      const payload = Buffer.from(JSON.stringify(said)).toString("base64");
      const document = { payloadType: mediaTypes.inToto, payload, signatures: [{ sig: "AAAA" }] };
      return { mediaType: mediaTypes.dsse, size: 1, digest: put(document, mediaTypes.dsse) };
    });
    put({ layers }, mediaTypes.ociManifest, attestationTag(digest));
  };
  const digests = children.map((_, at) => digestOf(`child ${at}`));
  const manifests = children.map(({ platform }, at) => ({ mediaType: mediaTypes.ociManifest, size: 1, digest: digests[at], platform }));
  const index = put({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }, mediaTypes.ociIndex);
  children.forEach(({ versions = [] }, at) => attest(digests[at]!, versions));
  attest(index, ofIndex);
  return {
    index,
    of: (at) => digests[at]!,
    async manifest(_, reference) {
      const found = contents.get(reference);
      return found && { digest: digestOf(found.bytes), ...found };
    },
    async blob(_, digest) {
      return contents.get(digest)!.bytes;
    },
    async referrers() {
      return [];
    },
  };
}

async function version(source: ReturnType<typeof world>, wanted: readonly string[] = []) {
  const parts = await partsOf(source, repository, source.index, wanted);
  return readAgreedVersion(source, parts, { repository, evidence: [{ type: "SLSAProvenance" }], package: "nginx", signers: "Unverified" });
}

test("attestations of BuildKit aside, each entry of an index needs evidence", async () => {
  const source = world([signed(amd64, "1.27.3"), signed(arm64, "1.27.3"), { platform: attestation }]);
  await expect(version(source)).resolves.toMatchObject({ version: "1.27.3", evidence: { platforms: ["linux/amd64", "linux/arm64/v8"] } });
});

// containerd takes each of these for linux/amd64 on a node of that kind, and of two the first.
const disguises: Record<string, unknown> = {
  "no operating system": { os: "", architecture: "amd64" },
  "no field for the operating system": { architecture: "amd64" },
  "no platform": undefined,
  "no platform, in so many words": null,
  "an unknown operating system alone": { os: "unknown", architecture: "amd64" },
  "a variant of another form": { ...amd64, variant: "V 1" },
  "an architecture's other name": { os: "linux", architecture: "x86_64" },
  "its third name, with a variant": { os: "Linux", architecture: "X86-64", variant: "v1" },
};

test.each(Object.keys(disguises))("an entry that nobody signed hides behind %s: refused, by its name or its digest", async (disguise) => {
  const source = world([{ platform: disguises[disguise] }, signed(amd64, "1.27.3"), signed(arm64, "1.27.3")]);
  await expect(version(source)).rejects.toMatchObject({ code: "SignatureMissing", message: expect.stringContaining(source.of(0)) });
});

test.each(Object.keys(disguises).filter((disguise) => !disguise.includes("unknown")))(
  "so does a policy for one platform: %s",
  async (disguise) => {
    const source = world([{ platform: disguises[disguise] }, signed(amd64, "1.27.3"), { platform: arm64 }]);
    await expect(version(source, ["linux/amd64"])).rejects.toMatchObject({ code: "SignatureMissing" });
  },
);

test("what is signed as a whole may have entries that do not say what they are for", async () => {
  const source = world([{ platform: undefined }, { platform: amd64 }], ["1.27.3"]);
  await expect(version(source)).resolves.toMatchObject({ version: "1.27.3", evidence: { platforms: ["linux/amd64"] } });
});

test("a policy for one platform takes it under each of its names, and no other", async () => {
  const names = async (platform: object, wanted: string) => {
    const source = world([{ platform: { os: "linux", ...platform } }, { platform: { os: "linux", architecture: "riscv64" } }]);
    const { platforms } = await partsOf(source, repository, source.index, [wanted]);
    return platforms.map((part) => part.platform);
  };
  await expect(names({ architecture: "aarch64" }, "linux/arm64")).resolves.toEqual(["linux/aarch64"]);
  await expect(names({ architecture: "arm64" }, "linux/arm64/v8")).resolves.toEqual(["linux/arm64"]);
  await expect(names({ architecture: "arm64", variant: "8" }, "linux/arm64/v8")).resolves.toEqual(["linux/arm64/8"]);
  await expect(names({ architecture: "armhf" }, "linux/arm/v7")).resolves.toEqual(["linux/armhf"]);
  await expect(names({ architecture: "arm" }, "linux/arm/v7")).resolves.toEqual(["linux/arm"]);
  await expect(names({ architecture: "arm", variant: "v6" }, "linux/arm")).resolves.toEqual(["linux/arm/v6"]);
  await expect(names({ architecture: "arm", variant: "v6" }, "linux/arm/v7")).rejects.toMatchObject({ code: "PlatformMissing" });
  await expect(names({ architecture: "amd64" }, "linux/amd64/v3")).rejects.toMatchObject({ code: "PlatformMissing" });
});

test("documents of one part that contradict each other are not outvoted by the other parts", async () => {
  const [torn, sure] = [signed(amd64, "1.27.3", "1.27.4"), signed(arm64, "1.27.3")];
  const disagree = { code: "AttestationsDisagree", message: expect.stringContaining("linux/amd64: ") };
  await expect(version(world([torn, sure], ["1.27.3"]))).rejects.toMatchObject(disagree);
  const ofIndex = world([signed(amd64, "1.27.3"), sure], ["1.27.3", "1.27.4"]);
  await expect(version(ofIndex)).rejects.toMatchObject({ ...disagree, message: expect.stringContaining("the index: ") });
});

test("an index of more platforms than a version records is not looked at one by one", async () => {
  const source = world(Array.from({ length: 101 }, () => ({ platform: amd64 })));
  await expect(version(source)).rejects.toMatchObject({ code: "ManifestInvalid", message: expect.stringContaining("101 platforms") });
});
