// Logins from Secrets: `kubernetes.io/dockerconfigjson`, or basic-auth with the keys `username` and `password`.

import { loginNames } from "./registry-address.ts";
import type { SecretData } from "./secrets.ts";

export interface Login {
  readonly username: string;
  readonly password: string;
  /** An OAuth2 refresh token (`identitytoken` of a docker configuration) instead of a password. */
  readonly identityToken?: string;
}

const dockerConfigKey = ".dockerconfigjson";
/** Keys of a Secret that make a login. */
export const loginKeys: readonly string[] = [dockerConfigKey, "username", "password"];

/** `name`: of the Secret, for messages; nothing of its content is ever put into one. */
export function readLogin(data: SecretData, name: string, url: URL): Login | { readonly problem: string } {
  const dockerConfig = data.get(dockerConfigKey);
  if (dockerConfig !== undefined) return fromDockerConfig(dockerConfig, name, url);
  const username = text(data.get("username"));
  const password = text(data.get("password"));
  if (username === undefined || password === undefined) {
    return { problem: `Secret ${name} needs the keys username and password, or ${dockerConfigKey} (${namesOfKeys(data)})` };
  }
  return { username, password };
}

/** What a Secret has instead of what it should have, by the names of its keys. */
export function namesOfKeys(data: SecretData): string {
  return data.size === 0 ? "it is empty" : `it has ${[...data.keys()].sort().join(", ")}`;
}

export interface DockerLogin {
  readonly auth?: unknown;
  readonly username?: unknown;
  readonly password?: unknown;
  readonly identitytoken?: unknown;
}

function fromDockerConfig(bytes: Uint8Array, name: string, url: URL): Login | { readonly problem: string } {
  let auths: Record<string, DockerLogin>;
  try {
    const parsed = JSON.parse(text(bytes) ?? "") as { auths?: Record<string, DockerLogin> } | null;
    auths = parsed?.auths ?? {};
  } catch {
    // the cause would quote the Secret's text
    return { problem: `Secret ${name}: ${dockerConfigKey} is not JSON` };
  }
  const login = dockerLogin(auths, url);
  if (login === "none") return { problem: `Secret ${name}: ${dockerConfigKey} has no login for ${loginNames(url)[0] ?? url.host}` };
  if (login === "incomplete") return { problem: `Secret ${name}: the login for ${url.host} needs auth, or username and password` };
  return login;
}

/** The login for this host among the `auths` of a docker configuration. `incomplete`: it names the host, and keeps the login elsewhere if at all. */
export function dockerLogin(auths: Readonly<Record<string, DockerLogin>>, url: URL): Login | "none" | "incomplete" {
  const names = loginNames(url);
  const found = Object.entries(auths).find(([entry]) => names.includes(hostOf(entry)));
  return found === undefined ? "none" : (loginOf(found[1]) ?? "incomplete");
}

/** `https://index.docker.io/v1/`, `ghcr.io/org`, `localhost:5000` → host and port. */
const hostOf = (entry: string) => entry.replace(/^https?:\/\//, "").replace(/\/.*$/, "");

function loginOf(entry: DockerLogin): Login | undefined {
  const identityToken = typeof entry.identitytoken === "string" && entry.identitytoken !== "" ? entry.identitytoken : undefined;
  const pair = typeof entry.auth === "string" ? Buffer.from(entry.auth, "base64").toString("utf8") : "";
  const colon = pair.indexOf(":");
  const username = colon > 0 ? pair.slice(0, colon) : entry.username;
  const password = colon > 0 ? pair.slice(colon + 1) : entry.password;
  if (identityToken !== undefined) return { username: typeof username === "string" ? username : "", password: "", identityToken };
  if (typeof username !== "string" || username === "" || typeof password !== "string") return undefined;
  // Azure writes the refresh token as the password of a user that is no name.
  return username === "<token>" || username === "00000000-0000-0000-0000-000000000000"
    ? { username, password: "", identityToken: password }
    : { username, password };
}

function text(bytes: Uint8Array | undefined): string | undefined {
  // `echo secret | base64` leaves a line end that nobody meant
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes).replace(/\r?\n$/, "");
}
