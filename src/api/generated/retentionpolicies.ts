// Generated from crds/retentionpolicies.yaml by scripts/generate-types.mjs. Do not edit.

/**
 * Which repositories, what of them is kept, and how carefully the rest goes.
 */
export interface RetentionPolicySpec {
  /**
   * Which repositories, by globs over their full names (with the prefix of an Upstream). Own repositories and minted versions; cached content is `Upstream.spec.cache`'s.
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
   * `Plan` shows what would go. `Delete` deletes, and is always written out.
   */
  action: "Plan" | "Delete";
  /**
   * A tag is kept if any rule of any policy keeps it. A rule has optional `tags` and at most one criterion, which counts among the tags that its `tags` select in one repository. Without a criterion it keeps all of them.
   */
  keep: {
    /**
     * Names the rule in plans, for example `releases`.
     */
    name: string;
    /**
     * An RE2 expression for the whole tag. All tags by default.
     */
    tags?: string;
    /**
     * The newest so many by push.
     */
    mostRecentlyPushed?: number;
    /**
     * The newest so many by pull.
     */
    mostRecentlyPulled?: number;
    /**
     * Pushed not longer ago than this, for example `720h`.
     */
    pushedWithin?: string;
    /**
     * Pulled not longer ago than this. Keeps everything until pulls have been counted for that long.
     */
    pulledWithin?: string;
    /**
     * Of the tags that are versions, the newest of each minor or major. Tags that are not versions are left to other rules.
     */
    semver?: {
      /**
       * Only versions in this range, for example `>=1.0`. All versions by default.
       */
      range?: string;
      /**
       * How many of each group are kept.
       */
      newest: number;
      /**
       * How versions are grouped.
       */
      per: "Minor" | "Major";
    };
  }[];
  /**
   * What running workloads use.
   */
  inUse: {
    /**
     * `Keep`: nothing that a cluster uses is deleted, and nothing at all while a cluster is silent. `Ignore`: nobody is asked.
     */
    mode: "Keep" | "Ignore";
    /**
     * Which clusters are asked, by name. Empty means every cluster that is configured.
     */
    clusters: string[];
    /**
     * How long an image stays in use after it was last seen.
     */
    keepFor: string;
  };
  /**
   * Manifests that no tag, index or referrer needs.
   */
  untagged: {
    /**
     * How long they stay after their last tag went. Of several policies the longest counts.
     */
    keepFor: string;
  };
  /**
   * A run that would delete more stops. `wharfinger job prune --approve <plan id>` or the annotation `wharfinger.dev/approve-plan: <plan id>` lets exactly that plan run.
   */
  limits: {
    /**
     * Percent of the selected tags that one run may delete.
     */
    maxDeletePercent: number;
    /**
     * `maxDeletePercent` counts only when the policy selects at least so many tags.
     */
    minTags: number;
  };
  /**
   * When to run, as a cron expression of five fields.
   */
  schedule: string;
  /**
   * Time zone of `schedule`, by its IANA name.
   */
  timeZone: string;
  /**
   * Stop the controller and the schedule of this policy. Its keep rules count on. Never recorded.
   */
  suspend: boolean;
}
