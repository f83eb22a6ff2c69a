// Media types and header names of the OCI and Docker V2 protocols. One place, so that nothing is ever misspelled.

export const mediaTypes = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerManifestList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
  dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
  octetStream: "application/octet-stream",
  json: "application/json",
  dsse: "application/vnd.dsse.envelope.v1+json",
  inToto: "application/vnd.in-toto+json",
  sigstoreBundle: "application/vnd.dev.sigstore.bundle.v0.3+json",
} as const;

/** What we send as Accept when we ask another registry for a manifest. */
export const acceptedManifestTypes: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.dockerManifest,
];

export const headers = {
  apiVersion: "docker-distribution-api-version",
  contentDigest: "docker-content-digest",
  uploadUuid: "docker-upload-uuid",
  ociSubject: "oci-subject",
  ociTag: "oci-tag",
  ociNamespace: "oci-namespace",
  ociFiltersApplied: "oci-filters-applied",
  ociChunkMinLength: "oci-chunk-min-length",
} as const;
