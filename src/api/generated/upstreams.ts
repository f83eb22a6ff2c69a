// Generated from crds/upstreams.yaml by scripts/generate-types.mjs. Do not edit.

/**
 * Which registry, under which name, and how it is asked.
 */
export interface UpstreamSpec {
  /**
   * Where the registry is: `scheme://host[:port]` and nothing else. `https://docker.io` means `registry-1.docker.io`. A change makes cached tags stale at once.
   */
  url: string;
  /**
   * Allow `http` in `url`.
   */
  insecure: boolean;
  /**
   * First path segment under which the registry is served: `<registry>/<prefix>/<repository>`. One Upstream a prefix, the one recorded first keeps it. Never a place to push. Immutable.
   */
  prefix: string;
  /**
   * Put before every repository when upstream is asked. With `chainguard`, `cgr/nginx` is `chainguard/nginx` upstream. Immutable.
   */
  repositoryPrefix: string;
  /**
   * Values of `?ns=` (containerd's mirror requests) that this Upstream answers, for example `docker.io`. None by default. One Upstream a host, the one recorded first keeps it. `docker.io` covers `registry-1.docker.io` and `index.docker.io`.
   */
  hosts: string[];
  /**
   * Which of upstream's repositories are served, by globs over their names as upstream writes them (without `prefix`).
   */
  repositories: {
    /**
     * Served. `*` within a path segment, `**` any number of segments.
     */
    include: string[];
    /**
     * Not served, even when included.
     */
    exclude: string[];
  };
  /**
   * How the registry is told who asks.
   */
  auth: {
    /**
     * `generic`: the credentials in `secretRef`, or none. `aws`, `azure` and `gcp`: the identity of the process.
     */
    provider: "generic" | "aws" | "azure" | "gcp";
    /**
     * A Secret in the same namespace, of type `kubernetes.io/dockerconfigjson` (key `.dockerconfigjson` with an entry for the url's host) or `kubernetes.io/basic-auth` (keys `username` and `password`).
     */
    secretRef?: {
      /**
       * Its name.
       */
      name: string;
    };
  };
  /**
   * A Secret in the same namespace with `ca.crt` (who may sign the registry's certificate), or `tls.crt` and `tls.key` (the certificate that we show), or all three. With `ca.crt` alone the Upstream is one without credentials, so that `access.anonymousPull: PublicUpstreams` means it too.
   */
  certSecretRef?: {
    /**
     * Its name.
     */
    name: string;
  };
  /**
   * Other hosts that tokens and redirects may lead to. Well-known pairs such as `registry-1.docker.io` and `auth.docker.io` are built in.
   */
  allowedHosts: string[];
  /**
   * What is kept, and for how long.
   */
  cache: {
    /**
     * `Always`: keep what was fetched. `Never`: pass through and keep nothing.
     */
    mode: "Always" | "Never";
    /**
     * How long a tag is served without asking whether it moved. `0s` asks every time.
     */
    tagTTL: string;
    /**
     * How long after its last good answer a tag is still served when upstream fails.
     */
    staleIfError: string;
    /**
     * A cached image that nobody pulled for this long is dropped. What versions and running workloads need stays.
     */
    unusedFor: string;
    /**
     * Above this, the least recently pulled images are dropped first. A quantity such as `100Gi`; none by default.
     */
    maxSize?: number | string;
  };
  /**
   * How much of upstream's allowance is used, and how fast.
   */
  rateLimit: {
    /**
     * Percent of upstream's allowance that is kept for pulls. Tag-sync and prefetch stop when less is left.
     */
    reservePercent: number;
    /**
     * Never ask faster than this. None by default.
     */
    requestsPerSecond?: number;
  };
  /**
   * How long upstream is waited for.
   */
  timeouts: {
    /**
     * Until the connection stands, TLS included.
     */
    connect: string;
    /**
     * From the request to the first byte of the answer.
     */
    firstByte: string;
    /**
     * Between two bytes of the answer.
     */
    idle: string;
  };
  /**
   * Serve what is cached and ask nothing. Nothing is dropped for being unused meanwhile: it could not be fetched again.
   */
  offline: boolean;
  /**
   * Stop the controller for this resource. What is served goes on. Never recorded.
   */
  suspend: boolean;
}
