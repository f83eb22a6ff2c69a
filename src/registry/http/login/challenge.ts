// How a client that needs credentials is told where to get a token (RFC 6750; distribution spec, "Token Authentication"): the Bearer challenge with
// realm, service and scope.
//
// A client sends its password to the realm, so that is never guessed: it is a name that the settings know, with a scheme that somebody vouches for.
// Where there is none the challenge is Basic, and the password goes where the request went.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

import { isIpAddress } from "../ip-address.ts";
import { isCertificateFor } from "../listening/certificate-names.ts";
import { isListed, isLoopbackName, type VisitorOptions } from "../visitors.ts";

export const basicChallenge = 'Basic realm="Wharfinger", charset="UTF-8"';

export interface ChallengeOptions {
  /** Setting externalURL. */
  readonly externalURL?: string;
  readonly visitors: VisitorOptions;
  /** As a proxy that is known says it. */
  readonly forwardedScheme: (request: IncomingMessage) => "http" | "https" | undefined;
  /** There is something to sign tokens with. */
  readonly ready: () => boolean;
}

/** Where nobody said what the registry is called: a developer's machine. */
const unnamedService = "wharfinger";

/** What tokens are for, as clients and the tokens name it. */
export function serviceOf(externalURL: string | undefined): string {
  return externalURL === undefined ? unnamedService : new URL(externalURL).host;
}

export class Challenges {
  readonly #options: ChallengeOptions;
  readonly #external: URL | undefined;
  readonly #service: string;

  constructor(options: ChallengeOptions) {
    this.#options = options;
    this.#external = options.externalURL === undefined ? undefined : new URL(options.externalURL);
    this.#service = serviceOf(options.externalURL);
  }

  /** The value of WWW-Authenticate. `scope`: what the request needs. */
  for(request: IncomingMessage, { scope, error }: { readonly scope?: string | undefined; readonly error?: string | undefined }): string {
    const realm = this.#options.ready() ? this.realmFor(request) : undefined;
    if (realm === undefined) return basicChallenge;
    const parameters = [
      ["realm", realm],
      ["service", this.#service],
      ["scope", scope],
      ["error", error],
    ] as const;
    return `Bearer ${parameters.flatMap(([name, value]) => (value === undefined ? [] : [`${name}="${value}"`])).join(",")}`;
  }

  /** Undefined: under no name that is known. */
  realmFor(request: IncomingMessage): string | undefined {
    const { visitors } = this.#options;
    const host = (request.headers.host ?? "").toLowerCase();
    const external = this.#external && `${this.#external.origin}/token`;
    if (host === this.#external?.host) return external;
    // Not every name in brackets is an address, nor every five digits a port.
    if (!URL.canParse(`http://${host}`)) return external;
    const scheme = this.#schemeOf(request);
    if (isLoopbackName(host, visitors)) return `${scheme ?? "http"}://${host}/token`;
    const ours = isListed(host, visitors.hosts) || isCertified(request, host) || (scheme === "http" && isAddress(host));
    return ours && scheme !== undefined ? `${scheme}://${host}/token` : external;
  }

  /** Plain HTTP may be what a proxy with TLS speaks behind it, so that alone is no word for `http`. */
  #schemeOf(request: IncomingMessage): "http" | "https" | undefined {
    if (isEncrypted(request.socket)) return "https";
    return this.#options.forwardedScheme(request) ?? (this.#external?.protocol === "http:" ? "http" : undefined);
  }
}

function isEncrypted(socket: Socket): socket is TLSSocket {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

/** The client has checked that our certificate has this name, as a node does that goes to the Service's address. */
function isCertified({ socket }: IncomingMessage, host: string): boolean {
  if (!isEncrypted(socket)) return false;
  const name = nameOf(host);
  const certificate = socket.getX509Certificate();
  return name !== undefined && certificate !== undefined && isCertificateFor(certificate, name);
}

/** An address needs no name: where there is no TLS, nodes go to that of the Service. */
function isAddress(host: string): boolean {
  return isIpAddress(nameOf(host) ?? "");
}

function nameOf(host: string): string | undefined {
  const [, bracketed, plain] = /^(?:\[([\da-f:.]+)\]|([^\s:[\]/@",]+))(?::\d{1,5})?$/.exec(host) ?? [];
  return bracketed ?? plain;
}
