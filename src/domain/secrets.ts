// Secret and ConfigMap data as the processes see them. They never pass through the record, a log or a reply.

/** Data of one Secret or ConfigMap: key → bytes. */
export type SecretData = ReadonlyMap<string, Uint8Array>;

/** Where resources' `secretRef` and `configMapRef` lead. Reads are from memory: the owner keeps it current. */
export interface SecretSource {
  secret(namespace: string, name: string): SecretData | undefined;
  configMap(namespace: string, name: string): SecretData | undefined;
  /** A hash of all of it, for whoever has to know whether several processes have the same; undefined where nobody has to. */
  readonly loaded?: () => string | undefined;
  /** Why nothing can be said of a Secret: as the rest of a sentence that names it; undefined: there is none, or it is here. */
  readonly unseen?: (namespace: string, name: string) => string | undefined;
  /** Called after any Secret or ConfigMap changed. Returns the function that ends the subscription. */
  onChange(listener: () => void): () => void;
}
