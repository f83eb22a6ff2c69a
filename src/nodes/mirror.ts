// What nodes are told: which registry is asked instead of others, for which of their names, and as whom (design: nodes.md).

/** The registry as nodes reach it. */
export interface Mirror {
  /** scheme://host[:port], as `parseAddress` gives it. */
  readonly address: string;
  /** PEM of the authority of its certificate, where nodes do not know it. */
  readonly authority?: string;
  /** Without it nodes pull what anybody may pull. */
  readonly login?: MirrorLogin;
}

export interface MirrorLogin {
  readonly user: string;
  readonly password: string;
}

/** Images of another registry that are pulled through this one. */
export interface MirroredHost {
  /** As image references have it, for example docker.io. */
  readonly host: string;
  /** URL of the way back: the registry itself. */
  readonly server: string;
  /** Where they are here, for runtimes that do not say `?ns=`. */
  readonly names?: {
    readonly prefix: string;
    /** Of the repositories at `host`; "" for all. */
    readonly repositoryPrefix: string;
  };
}

/** host[:port] */
export function hostOf({ address }: Pick<Mirror, "address">): string {
  return new URL(address).host;
}

export function isPlain({ address }: Pick<Mirror, "address">): boolean {
  return address.startsWith("http://");
}

/** RFC 7617. */
export function basic({ user, password }: MirrorLogin): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

/** Docker Hub is called docker.io and answers as registry-1.docker.io. */
export function serverOf(host: string): string {
  return `https://${host === "docker.io" ? "registry-1.docker.io" : host}`;
}
