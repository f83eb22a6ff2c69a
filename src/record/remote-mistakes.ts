// What git says of a remote that a person has to mend, in words that say what to mend. git means whoever sits at a terminal: it tells of prompts where
// the password in a Secret is wrong.

import type { RecordErrorCode } from "./errors.ts";
import { textOf, type NamedSecret } from "./named-secret.ts";

/** Whose remote it is, and who asks there. */
export interface RemoteLogin {
  readonly url: string;
  /** Undefined: the settings name none. */
  readonly secret?: NamedSecret;
}

export interface Mistake {
  readonly code: RecordErrorCode;
  /** The rest of a sentence that begins with what was tried: what is wrong, and what to do. */
  readonly advice: string;
  /** git's own words are worth reading beside that. */
  readonly quoted: boolean;
}

type Known = Mistake & { readonly said: RegExp };

/** Undefined: `said` is none of them, and the network's, the host's or git's own affair. */
export function mistakeIn(said: string, login: RemoteLogin): Mistake | undefined {
  return (login.url.startsWith("ssh:") ? overSsh(login) : overHttps(login)).find((known) => known.said.test(said));
}

const field = "record.remote.secretRef";

function overHttps({ url, secret }: RemoteLogin): readonly Known[] {
  const named = `Secret ${secret?.name ?? ""} (${field})`;
  const asks = textOf(secret?.read(), "username") !== undefined;
  const login =
    secret === undefined
      ? `name a Secret with username and password (a token) in ${field}`
      : `put username and password (a token) into ${named}`;
  return [
    {
      code: "RemoteRefused",
      said: /could not read (?:Username|Password)|Authentication failed|terminal prompts disabled|returned error: 401\b/i,
      advice: asks
        ? `the credentials were refused: put a username and a password (a token) that count there into ${named}`
        : `it wants a login, and there is none: ${login}`,
      quoted: false,
    },
    {
      code: "RemoteRefused",
      said: /returned error: 403\b/,
      advice: asks
        ? `access was denied: give the user of ${named} the right to read and push there, or put another one into it`
        : `access was denied, and there is no login: ${login}`,
      quoted: true,
    },
    {
      code: "RemoteRefused",
      said: /certificate|SSL peer/i,
      advice:
        secret === undefined
          ? `its certificate is not trusted: name a Secret with the authority that signed it (ca.crt) in ${field}`
          : `its certificate is not trusted: put the authority that signed it into ${named} as ca.crt`,
      quoted: true,
    },
    notThere(
      `the repository is not there, or is hidden from ${asks ? `the user of ${named}` : "whoever has no login"}`,
      url,
      asks ? "give him the right to read and push" : login,
    ),
  ];
}

function overSsh({ url, secret }: RemoteLogin): readonly Known[] {
  const named = `Secret ${secret?.name ?? ""} (${field})`;
  return [
    {
      code: "RemoteRefused",
      said: /invalid format|error in libcrypto/i,
      advice: `identity of ${named} is no key that ssh can use: put a private key without a passphrase there`,
      quoted: true,
    },
    {
      code: "RemoteRefused",
      said: /Permission denied \(/i,
      advice: `the credentials were refused: let the public key to identity of ${named} read and push there, or put another private key into it`,
      quoted: true,
    },
    {
      code: "RemoteRefused",
      said: /Host key verification failed|No \S+ host key is known/i,
      advice: `its host key is not the one in known_hosts of ${named}: ask whoever runs the host which is right, and put that one there`,
      quoted: true,
    },
    notThere(`the repository is not there, or is hidden from the key of ${named}`, url, "let the key read and push there"),
  ];
}

/** A host that is being set up has it in a moment: nobody is accused. */
function notThere(what: string, url: string, orElse: string): Known {
  return {
    code: "RemoteUnavailable",
    said: /repository .*(?:not found|does not exist)|does not appear to be a git repository|could not be found|returned error: 404\b/i,
    advice: `${what}: make it (empty), mend record.remote.url (${url}), or ${orElse}`,
    quoted: true,
  };
}
