interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Settings {
  readonly bucket: string;
  readonly region: string;
  /** URL of the service; undefined: AWS. */
  readonly endpoint?: string;
  /** Keys of this installation begin with it: empty, or with a slash at its end. */
  readonly prefix: string;
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. */
  readonly forcePathStyle: boolean;
  /** Undefined: found as the AWS SDK does (environment, web identity, instance). */
  readonly credentials?: Credentials | (() => Promise<Credentials & { readonly expiration: Date }>);
  /** Who pulls a blob is sent to the service for its bytes. */
  readonly redirect?: boolean;
  /** Under which clients reach the service, where that is not `endpoint`. */
  readonly redirectEndpoint?: string;
  /** Connections at once. */
  readonly connections: number;
  /** Milliseconds without a byte after which a request is asked again; 30 s by default. */
  readonly silenceTimeout?: number;
  /** Where fills are read from while they are on their way to the bucket. */
  readonly spoolFolder: string;
  /** Memory for parts that are on their way, bytes. */
  readonly partMemory: number;
}
