// What a request to an API server needs beside its path.

export interface ClusterAccess {
  /** scheme://host:port */
  readonly server: string;
  /** Of the pod, or of the kubeconfig's context. */
  readonly namespace: string;
  /** Its name in the kubeconfig, where there is one. */
  readonly context?: string;
  /** Asked before every request: tokens are replaced while the process runs. */
  credentials(): Promise<Credentials>;
}

export interface Credentials {
  /** Value of the header. */
  readonly authorization?: string | undefined;
  /** Beside it. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly tls: TlsIdentity;
}

export interface TlsIdentity {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
  /** false: whoever answers is believed. */
  readonly rejectUnauthorized?: boolean | undefined;
}
