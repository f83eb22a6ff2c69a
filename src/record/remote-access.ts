// How git reaches the remote: the Secret's content as git's configuration, environment and private files. Nothing secret is an argument,
// part of a URL, or in the repository. A credential helper would be another program, which git starts with a shell.

import { createHash } from "node:crypto";
import { join } from "node:path";

import type { SecretData } from "../domain/secrets.ts";
import { RecordError } from "./errors.ts";
import type { Reach } from "./git.ts";
import { textOf } from "./named-secret.ts";
import { PrivateFolder } from "./private-folder.ts";
import type { RemoteOptions } from "./remote-options.ts";

/** Nothing of a repository's own configuration, or of a server's answer, leads the connection elsewhere or makes it weaker. */
const https: readonly string[] = [
  "http.followRedirects=false",
  "http.sslVerify=true",
  "http.proxy=",
  "http.cookieFile=",
  "http.saveCookies=false",
  "http.delegation=none",
  "http.emptyAuth=false",
  // A connection on which nothing comes for half a minute is dead.
  "http.lowSpeedLimit=1",
  "http.lowSpeedTime=30",
  "credential.helper=",
  "core.askPass=",
];

/** A text that never changes: git hands it to a shell, and the path comes by the environment. */
const sshCommand = 'exec ssh -F "$WHARFINGER_SSH_CONFIG"';

export class RemoteAccess {
  readonly #options: Pick<RemoteOptions, "url" | "secret">;
  readonly #folder = new PrivateFolder();

  constructor(options: Pick<RemoteOptions, "url" | "secret">) {
    this.#options = options;
  }

  /** Differs when the credentials do; tells nothing about them. */
  fingerprint(): string {
    const hash = createHash("sha256");
    for (const [key, bytes] of this.#options.secret?.read() ?? []) hash.update(`${key}\0${bytes.length}\0`).update(bytes);
    return hash.digest("hex");
  }

  /** Rejects with RecordError RemoteRefused when the Secret is not there or lacks what is needed. */
  async reach(): Promise<Reach> {
    return this.#options.url.startsWith("ssh:") ? this.#ssh() : this.#https();
  }

  close(): Promise<void> {
    return this.#folder.close();
  }

  async #https(): Promise<Reach> {
    const secret = this.#secret();
    const authority = secret?.get("ca.crt");
    const files = authority === undefined ? undefined : await this.#folder.write({ "ca.crt": authority });
    const user = textOf(secret, "username");
    const password = textOf(secret, "password");
    if ((user === undefined) !== (password === undefined))
      throw this.#lacks(
        user === undefined ? "username" : "password",
        "for https it has username and password (a token), and ca.crt where needed",
      );
    const header = user === undefined ? undefined : `Authorization: Basic ${Buffer.from(`${user}:${password ?? ""}`).toString("base64")}`;
    return {
      protocol: "https",
      configuration: files === undefined ? https : [...https, `http.sslCAInfo=${join(files, "ca.crt")}`],
      env: configurationByEnvironment([["http.extraHeader", ""], ...(header === undefined ? [] : [["http.extraHeader", header] as const])]),
    };
  }

  async #ssh(): Promise<Reach> {
    const secret = this.#secret();
    const [identity, knownHosts] = ["identity", "known_hosts"].map((key) => textOf(secret, key));
    const needs = "for ssh it has identity (a private key without a passphrase) and known_hosts";
    if (secret === undefined) throw new RecordError("RemoteRefused", `record.remote.secretRef is missing: ssh needs a Secret; ${needs}`);
    if (identity === undefined) throw this.#lacks("identity", needs);
    if (knownHosts === undefined) throw this.#lacks("known_hosts", needs);
    const folder = await this.#folder.path();
    // OpenSSH takes no key whose last line does not end.
    const contents = { identity: `${identity}\n`, known_hosts: `${knownHosts}\n`, config: sshConfig(folder) };
    const files = await this.#folder.write(contents);
    return {
      protocol: "ssh",
      configuration: ["ssh.variant=ssh"],
      env: { GIT_SSH_COMMAND: sshCommand, WHARFINGER_SSH_CONFIG: join(files, "config") },
    };
  }

  #secret(): SecretData | undefined {
    const { secret } = this.#options;
    if (secret === undefined) return undefined;
    const data = secret.read();
    if (data !== undefined) return data;
    const unseen = secret.unseen?.();
    const why =
      unseen === undefined
        ? `there is no Secret ${secret.name}, which record.remote.secretRef names: create it`
        : `Secret ${secret.name}, which record.remote.secretRef names: ${unseen}`;
    throw new RecordError("RemoteRefused", why);
  }

  #lacks(key: string, needs: string): RecordError {
    return new RecordError("RemoteRefused", `Secret ${this.#options.secret?.name ?? ""} has no key ${key}: ${needs}`);
  }
}

/** Other than arguments, a process's environment is readable only by its own user. */
function configurationByEnvironment(entries: readonly (readonly [string, string])[]): Record<string, string> {
  const pairs = entries.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, key],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return { GIT_CONFIG_COUNT: String(entries.length), ...Object.fromEntries(pairs) };
}

/** Known hosts alone, this key alone, and nothing of the user's or the machine's configuration. */
function sshConfig(folder: string): string {
  const at = (name: string) => `"${join(folder, name).replaceAll("%", "%%")}"`;
  const options = {
    BatchMode: "yes",
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: at("known_hosts"),
    GlobalKnownHostsFile: "/dev/null",
    UpdateHostKeys: "no",
    CheckHostIP: "no",
    IdentityFile: at("identity"),
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    PreferredAuthentications: "publickey",
    ForwardAgent: "no",
    ForwardX11: "no",
    ClearAllForwardings: "yes",
    ControlPath: "none",
    ConnectTimeout: "10",
    ServerAliveInterval: "10",
    ServerAliveCountMax: "3",
    LogLevel: "ERROR",
  };
  return `Host *\n${Object.entries(options)
    .map(([name, value]) => `  ${name} ${value}\n`)
    .join("")}`;
}
