// How a subcommand fails: a reason for the person, and an exit code for the script.

import { ClientError } from "../client/errors.ts";

export const exitCodes = { done: 0, failed: 1, usage: 2 } as const;

/** Failed or refused; the message is the whole explanation. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** What went wrong between us and the registry, and what to do about it. */
export function explain(error: unknown, connection: { url: string; tokenFrom: string | undefined }): Error {
  if (!(error instanceof ClientError)) return error as Error;
  const { url, tokenFrom } = connection;
  switch (error.code) {
    case "Unreachable":
      if (isUntrusted(error.cause))
        return new CommandError(`${error.message}\nName the file with the authority of its certificate with --ca.`, { cause: error });
      return new CommandError(`${error.message}\nIs it running? Start it with \`npm start\`, or name another one with --registry.`, {
        cause: error,
      });
    case "Unauthorized":
      return new CommandError(
        tokenFrom === undefined
          ? `The registry at ${url} wants a token. Name the data folder of that registry with --data, or set WHARFINGER_TOKEN.`
          : `The registry at ${url} does not accept the token from ${tokenFrom}. Is that the token of this registry? Name its data folder with --data, or set WHARFINGER_TOKEN.`,
        { cause: error },
      );
    case "NotFound":
    case "Conflict":
    case "Refused":
    case "Invalid":
    case "TooLarge":
    case "Failed":
      return new CommandError(error.message, { cause: error });
  }
}

/** Its certificate is nobody's that is trusted here. */
function isUntrusted(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" && /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(code);
}
