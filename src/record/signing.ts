// Commits signed with an SSH key out of a Secret, as `git commit -S` signs them (design: record, "One rule").

import { join } from "node:path";

import { RecordError } from "./errors.ts";
import type { GitCall } from "./git.ts";
import { textOf, type NamedSecret } from "./named-secret.ts";
import { PrivateFolder } from "./private-folder.ts";

/** Whatever asks for a passphrase gets none: the terminal that this process may have is nobody's to answer at. */
const noPassphrase = { SSH_ASKPASS: "/bin/false", SSH_ASKPASS_REQUIRE: "force" };

export class Signing {
  readonly #secret: NamedSecret;
  readonly #folder = new PrivateFolder();

  constructor(secret: NamedSecret) {
    this.#secret = secret;
  }

  /** With what git signs. Rejects with RecordError SigningFailed when the Secret is not there or has no key. */
  async call(): Promise<Required<Pick<GitCall, "configuration" | "env">>> {
    const data = this.#secret.read();
    if (data === undefined) throw this.refusal(this.#secret.unseen?.() ?? "there is no such Secret: create it");
    const key = textOf(data, "identity");
    if (key === undefined) throw this.refusal("it has no key identity: an SSH private key without a passphrase");
    // Of anything else git says that its public half is missing.
    if (!/^-----BEGIN [A-Z ]*PRIVATE KEY-----\n/.test(key)) throw this.refusal("its key identity is no SSH private key");
    // OpenSSH takes no key whose last line does not end.
    const folder = await this.#folder.write({ identity: `${key}\n` }).catch((error: Error) => {
      throw this.refusal(error.message);
    });
    return { configuration: ["gpg.format=ssh", `user.signingKey=${join(folder, "identity")}`], env: noPassphrase };
  }

  refusal(why: string): RecordError {
    return new RecordError("SigningFailed", `commits cannot be signed with Secret ${this.#secret.name} (record.signing.secretRef): ${why}`);
  }

  close(): Promise<void> {
    return this.#folder.close();
  }
}
