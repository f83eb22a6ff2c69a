// Keys of a Secret that somebody brings (setting auth.signingKeySecret), instead of those in the database: `signing.pem` signs, and every `*.pem`
// verifies, so that a next key can be known everywhere before it signs.

import type { SecretData, SecretSource } from "../../domain/secrets.ts";
import type { Logger } from "../../observability/logger.ts";
import { readPem, type SigningKey, type SigningKeys } from "./signing-key.ts";

const signing = "signing.pem";

export class SecretKeys implements SigningKeys {
  readonly #options: { readonly name: string; readonly logger: Logger };
  #keys: ReadonlyMap<string, SigningKey> = new Map();
  #current: SigningKey | undefined;
  #reading: Promise<void> = Promise.resolve();
  #said = "";

  private constructor(options: { readonly name: string; readonly logger: Logger }) {
    this.#options = options;
  }

  /** The Secret may come later: an operator brings it to a registry that runs. `stop` ends the watch. */
  static async open(options: {
    readonly secrets: Pick<SecretSource, "secret" | "onChange">;
    readonly ref: { readonly namespace: string; readonly name: string };
    readonly logger: Logger;
  }): Promise<{ readonly keys: SecretKeys; readonly stop: () => void }> {
    const { secrets, ref, logger } = options;
    const keys = new SecretKeys({ name: `${ref.namespace}/${ref.name}`, logger });
    const read = () => {
      keys.#reading = keys.#reading.then(() => keys.#take(secrets.secret(ref.namespace, ref.name)));
    };
    const stop = secrets.onChange(read);
    read();
    await keys.#reading;
    return { keys, stop };
  }

  current(): SigningKey | undefined {
    return this.#current;
  }

  known(id: string): SigningKey | undefined {
    return this.#keys.get(id);
  }

  async find(id: string): Promise<SigningKey | undefined> {
    return this.#keys.get(id);
  }

  async #take(data: SecretData | undefined): Promise<void> {
    const problems: string[] = [];
    const keys = new Map<string, SigningKey>();
    let current: SigningKey | undefined;
    for (const [file, bytes] of data ?? []) {
      if (!file.endsWith(".pem")) continue;
      try {
        const key = await readPem(Buffer.from(bytes).toString("latin1"));
        keys.set(key.id, key);
        if (file === signing) current = key;
      } catch (error) {
        problems.push(`${file} cannot be used: ${(error as Error).message}`);
      }
    }
    if (data === undefined)
      problems.push(
        `it is not here: create it with a key ${signing}, where --secrets has it; an operator brings it from namespaces that it watches alone`,
      );
    else if (!data.has(signing)) problems.push(`it has no key ${signing}: add it`);
    this.#keys = keys;
    this.#current = current;
    this.#say(problems);
  }

  #say(problems: readonly string[]): void {
    const { name, logger } = this.#options;
    const said = problems.join("; ");
    if (said !== "" && said !== this.#said) {
      const rest =
        this.#current === undefined ? ". Until that is mended no access tokens are given out, and clients are asked for Basic" : "";
      logger.error(`auth.signingKeySecret, Secret ${name}: ${said}${rest}`);
    }
    this.#said = said;
  }
}
