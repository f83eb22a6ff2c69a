// What a Secret says of who we are to an upstream, in a form that cannot be printed.

import { readLogin } from "../../domain/registry-login.ts";
import type { SecretData } from "../../domain/secrets.ts";
import { Hidden } from "./hidden.ts";
import type { Credentials } from "./target.ts";

/** `name`: of the Secret, for messages. */
export function readCredentials(data: SecretData | undefined, name: string, url: URL): Credentials {
  if (data === undefined) return { state: "invalid", message: `Secret ${name} does not exist` };
  const login = readLogin(data, name, url);
  if ("problem" in login) return { state: "invalid", message: login.problem };
  return { state: "loaded", login: new Hidden(login) };
}
