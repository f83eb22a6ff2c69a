// The one Secret that the registry's processes mount: written by server-side apply, read again only when somebody has changed it.

import type { Files } from "../credentials/credentials-bundle.ts";
import type { CredentialsStore } from "../credentials/delivery.ts";
import { KubeError } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import { fieldManager, metadataOnly, paths, type KubeObject } from "./objects.ts";

interface SecretObject extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
}

/** What the Roles of deploy/ name. */
export const usualName = "wharfinger-credentials";

export class CredentialsSecret implements CredentialsStore {
  readonly name: string;
  readonly #client: Pick<KubeClient, "send" | "apply">;
  readonly #path: string;
  readonly #metadata: { readonly namespace: string; readonly name: string };
  readonly #role: string;
  #known: { readonly version: string | undefined; readonly files: Files } | undefined;

  /** `home`: the operator's own namespace. */
  constructor(options: {
    readonly client: Pick<KubeClient, "send" | "apply">;
    readonly home: string;
    readonly namespace: string;
    readonly name: string;
  }) {
    const { client, home, namespace, name } = options;
    // The operator's own Role reads every Secret of its namespace: elsewhere that would be the registry's database password.
    const role = namespace === home ? "deploy/operator/role.yaml" : "deploy/credentials-namespace/role.yaml";
    this.#role = name === usualName ? role : `${role}, with resourceNames: [${name}],`;
    this.name = `${namespace}/${name}`;
    this.#client = client;
    this.#metadata = { namespace, name };
    this.#path = `${paths.secrets(namespace)}/${name}`;
  }

  async read(): Promise<Files | undefined> {
    try {
      const { metadata } = await this.#client.send<KubeObject>({ path: this.#path, accept: metadataOnly });
      if (this.#known?.version === undefined || this.#known.version !== metadata.resourceVersion) {
        this.#know(await this.#client.send<SecretObject>({ path: this.#path }));
      }
      return this.#known?.files;
    } catch (error) {
      if (!(error instanceof KubeError && error.status === 404)) throw this.#refusal("read", error);
      this.#known = undefined;
      return undefined;
    }
  }

  async write(files: Files): Promise<Files> {
    const labels = { "app.kubernetes.io/part-of": "wharfinger" };
    const data = Object.fromEntries([...files].map(([file, bytes]) => [file, Buffer.from(bytes).toString("base64")]));
    const secret: SecretObject = { apiVersion: "v1", kind: "Secret", metadata: { ...this.#metadata, labels }, type: "Opaque", data };
    try {
      const written = await this.#client.apply<SecretObject>(this.#path, secret);
      // An apply leaves what others have put there.
      const foreign = Object.keys(written.data ?? {}).filter((key) => !files.has(key));
      return this.#know(foreign.length === 0 ? written : await this.#takeOut(foreign));
    } catch (error) {
      this.#known = undefined;
      throw this.#refusal("write", error);
    }
  }

  #takeOut(keys: readonly string[]): Promise<SecretObject> {
    return this.#client.send<SecretObject>({
      method: "PATCH",
      path: this.#path,
      query: { fieldManager },
      contentType: "application/merge-patch+json",
      body: { data: Object.fromEntries(keys.map((key) => [key, null])) },
    });
  }

  #know({ metadata, data = {} }: SecretObject): Files {
    const files: Files = new Map(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64")]));
    this.#known = { version: metadata.resourceVersion, files };
    return files;
  }

  /** Of what the server says only what cannot repeat a Secret's content. */
  #refusal(verb: string, cause: unknown): Error {
    const { status, reason, message } = cause instanceof KubeError ? cause : { status: 0, reason: "", message: String(cause) };
    if (status === 0) return new Error(message, { cause });
    const { namespace } = this.#metadata;
    if (status === 403) {
      // Who may do what, or a namespace that is going: never what was sent.
      const way = `give its ServiceAccount the Role of ${this.#role} in namespace ${namespace}`;
      return new Error(
        `the operator may not ${verb} Secret ${this.name}, from which the registry has its credentials: ${way} (${message})`,
      );
    }
    return new Error(
      `Secret ${this.name}, from which the registry has its credentials, could not be ${verb === "read" ? "read" : "written"} (${status} ${reason})`,
    );
  }
}
