// Generated from crds/tagpolicies.yaml by scripts/generate-types.mjs. Do not edit.

/**
 * Which images, what proves their version, and which tags they get.
 */
export interface TagPolicySpec {
  /**
   * The Upstream that serves the images, in the same namespace.
   */
  upstreamRef: {
    /**
     * Its name. Immutable.
     */
    name: string;
  };
  /**
   * The images that get versions.
   */
  images: {
    /**
     * The repository as upstream writes it, for example `chainguard/nginx`. A repository has one TagPolicy, the older keeps it.
     */
    repository: string;
    /**
     * The package whose version is the image's. The last path segment of `repository` by default.
     */
    package?: string;
  }[];
  /**
   * The tags that are watched.
   */
  sourceTags: {
    /**
     * A tag that moves, for example `latest`.
     */
    name: string;
    /**
     * Appended to every tag that is minted from this one, for example `-dev`.
     */
    suffix: string;
  }[];
  /**
   * When to look, as a cron expression of five fields.
   */
  schedule: string;
  /**
   * Time zone of `schedule`, by its IANA name.
   */
  timeZone: string;
  /**
   * Where the version may be read, the first that has it counts. All four in this order by default.
   */
  evidence: {
    /**
     * The kind of document.
     */
    type: "SLSAProvenance" | "SPDX" | "CycloneDX" | "Apko";
    /**
     * What to look for in it: the parameter of the build in SLSA provenance, the package in the others. The image's package by default.
     */
    parameter?: string;
  }[];
  /**
   * Whose signature makes evidence count. What is not verified is not read.
   */
  verify: {
    /**
     * `Verified` needs `keyless` or `keys`. `Unverified` must be written out, excludes both, and shows in every listing.
     */
    mode: "Verified" | "Unverified";
    /**
     * Identities in certificates of the trusted root, any of them counts.
     */
    keyless?: {
      /**
       * The OIDC issuer of the signer, compared as a whole.
       */
      issuer: string;
      /**
       * The signer, compared as a whole.
       */
      subject?: string;
      /**
       * The signer, as an RE2 expression for the whole subject.
       */
      subjectRegExp?: string;
    }[];
    /**
     * Public keys, any of them counts. Signatures by a key need no log entry, and none is read yet.
     */
    keys?: {
      /**
       * A Secret in the same namespace. Every key of it that ends in `.pub` is a PEM public key, as `cosign generate-key-pair` writes it.
       */
      secretRef: {
        /**
         * Its name.
         */
        name: string;
      };
    }[];
    /**
     * Where the certificates and logs that count are named. The public-good root that is built in by default.
     */
    trustedRoot?: {
      /**
       * A ConfigMap in the same namespace with the key `trusted_root.json`.
       */
      configMapRef: {
        /**
         * Its name.
         */
        name: string;
      };
    };
  };
  /**
   * Which versions count. All of them by default.
   */
  versions?: {
    /**
     * A range, compared without the package revision: `1.27.3-r2` counts as `1.27.3`. For example `>=1.25 <2`.
     */
    semver?: string;
    /**
     * An RE2 expression for the whole version as the evidence states it.
     */
    pattern?: string;
    /**
     * What of `pattern` is the version, with `$1` or `$name` for its groups.
     */
    extract?: string;
  };
  /**
   * The tags that a build gets: `{fullVersion}` is 1.27.3-r2, `{version}` 1.27.3, `{major}` 1, `{minor}` 27. The source tag's suffix is appended.
   */
  tags: string[];
  /**
   * Where `1.27.3` points after a rebuild of 1.27.3: to the `Newest` build, or for ever to the `First`.
   */
  onRebuild: "Newest" | "First";
  /**
   * Platforms that must agree on the version, for example `linux/amd64`. Empty means all of the index, attestation entries aside. With some, the others need no evidence.
   */
  platforms: string[];
  /**
   * `Image` keeps index, layers and evidence, so that upstream may delete them. `Reference` keeps the name only.
   */
  copy: "Image" | "Reference";
  /**
   * Read old builds too, where the publisher keeps a history of its tags. None by default.
   */
  backfill?: {
    /**
     * The form of the history.
     */
    history: "Chainguard";
    /**
     * How many builds of each source tag, newest first.
     */
    limit: number;
  };
  /**
   * Stop the controller and the schedule of this policy. Its versions are served on. Never recorded.
   */
  suspend: boolean;
}
