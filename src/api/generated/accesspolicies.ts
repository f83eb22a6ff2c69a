// Generated from crds/accesspolicies.yaml by scripts/generate-types.mjs. Do not edit.

/**
 * Who, where, and what.
 */
export interface AccessPolicySpec {
  /**
   * Who. Any of them counts.
   */
  subjects: {
    /**
     * `Anonymous`: everybody who shows no credentials. `User`: a name of the users' Secret. `ServiceAccount`: of a cluster. `OIDC`: a token of an issuer with these claims. `Group`: a group of an issuer, of a cluster `system:serviceaccounts` and `system:serviceaccounts:<namespace>`.
     */
    kind: "Anonymous" | "User" | "ServiceAccount" | "OIDC" | "Group";
    /**
     * The user or robot, ServiceAccount or group. `*` for a ServiceAccount means all of its namespace.
     */
    name?: string;
    /**
     * Name of the issuer in the installation's settings (`auth.issuers`). `in-cluster` by default for a ServiceAccount.
     */
    issuer?: string;
    /**
     * Namespace of the ServiceAccount.
     */
    namespace?: string;
    /**
     * Claims of the token, all equal to the letter. They are texts, `true` or `false`, or whole numbers.
     */
    claims?: {
      /**
       * The claim, for example `repository`.
       */
      name: string;
      /**
       * What it must be.
       */
      value: string;
    }[];
  }[];
  /**
   * Where, by globs over the full names of repositories (with the prefix of an Upstream).
   */
  repositories: {
    /**
     * Selected. `*` within a path segment, `**` any number of segments.
     */
    include: string[];
    /**
     * Not selected, even when included.
     */
    exclude: string[];
  };
  /**
   * What.
   */
  actions: ("pull" | "push" | "delete")[];
  /**
   * An RE2 expression for whole tags. In these repositories such tags are created once and never moved or deleted by a client, whoever it is. Retention is not a client, and neither is an administrator's `wharfinger delete`.
   */
  protectedTags?: string;
  /**
   * Stop the controller for this resource. The policy counts on as it was recorded. Never recorded.
   */
  suspend: boolean;
}
