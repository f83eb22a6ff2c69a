// Who an import is for the registry that it goes to: whoever has its admin token, or a user.

import { ClientError } from "../client/errors.ts";
import { tokenFromEnvironment, tokenVariable } from "../config/options/client.ts";
import { loginFromEnvironment } from "../config/options/import.ts";
import type { ImportOptions } from "../import/import.ts";
import { SourceError } from "../import/import-source.ts";
import { findLogin } from "../import/login.ts";
import type { Connection } from "./connection.ts";
import { CommandError } from "./failure.ts";

export interface ImportTarget {
  readonly target: ImportOptions["target"];
  /** Says of a refusal whose login it was; other errors as they are. */
  readonly explained: (error: unknown) => unknown;
}

/** A login that somebody set counts before the token of a data folder, that before what `docker login` left behind. Rejects with CommandError. */
export async function findTarget({ url, token, ca }: Pick<Connection, "url" | "token" | "ca">): Promise<ImportTarget> {
  const places = loginFromEnvironment("target");
  const there = { url, caFile: ca };
  const both = places.variables.join(" and ");
  const named = places.username !== undefined || places.password !== undefined;
  if (named && tokenFromEnvironment() !== undefined)
    throw new CommandError(`Set ${both} for a user, or ${tokenVariable} for the admin token, not both.`);
  if (!named && token !== undefined) return { target: { ...there, token }, explained: (error) => error };
  const { credentials, credentialsFrom } = await findLogin(new URL(url), places).catch((error: unknown) => {
    throw error instanceof SourceError ? new CommandError(error.message, { cause: error }) : error;
  });
  if (credentials.state !== "loaded")
    return {
      target: there,
      explained: unauthorized(
        `${url} wants to know who pushes. Set ${both} of a user who may, log in with docker, or set ${tokenVariable}.`,
      ),
    };
  const { username, password, identityToken } = credentials.login.reveal();
  if (identityToken !== undefined)
    throw new CommandError(`${credentialsFrom} has a token for ${url} where users log in with a password. Set ${both}.`);
  return {
    target: { ...there, login: { username, password } },
    explained: unauthorized(`${url} does not accept the login of ${username} from ${credentialsFrom}.`),
  };
}

const unauthorized = (message: string) => (error: unknown) =>
  error instanceof ClientError && error.code === "Unauthorized" ? new CommandError(message, { cause: error }) : error;
