// Web pages are no clients of a registry. A listener that trusts this machine alone must not trust the pages that a browser on it shows:
// they reach it under names of their own (DNS rebinding), and with requests that need no permission (cross-site request forgery).

import type { IncomingMessage } from "node:http";

import { ServiceError } from "../services/errors.ts";
import { HttpError } from "./errors.ts";

export interface VisitorOptions {
  /** The host of the listen address, as it was given, when it is a loopback address: then only names of this machine count as Host. */
  readonly loopbackHost?: string;
  /** Setting access.hosts: further names of this registry, with or without a port. */
  readonly hosts: readonly string[];
}

const readingMethods: ReadonlySet<string | undefined> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Throws HttpError REQUEST_INVALID (400) or HOST_UNKNOWN (421), ServiceError DENIED (403). */
export function checkVisitor(request: IncomingMessage, options: VisitorOptions): void {
  const hosts = request.headersDistinct["host"] ?? [];
  if (hosts.length > 1) throw new HttpError("REQUEST_INVALID", "The request has more than one Host header.");
  const host = hosts[0] ?? "";
  const loopback = options.loopbackHost !== undefined;
  if (loopback && !isThisMachine(host, options)) {
    const shown = host.slice(0, 253);
    throw new HttpError(
      "HOST_UNKNOWN",
      `This registry listens for this machine alone and is not called ${JSON.stringify(shown)}: use localhost or 127.0.0.1. ` +
        `If ${JSON.stringify(shown)} is a name of it, for example of a reverse proxy, add it to the setting access.hosts.`,
    );
  }
  const site = request.headers["sec-fetch-site"];
  if (readingMethods.has(request.method)) {
    // A pull through an Upstream fetches and stores.
    if (loopback && site === "cross-site") throw foreignPage();
    return;
  }
  const { origin } = request.headers;
  if (site === "cross-site" || site === "same-site" || (origin !== undefined && !isOwnOrigin(origin, host, options))) throw foreignPage();
}

function isThisMachine(host: string, options: VisitorOptions): boolean {
  return isLoopbackName(host, options) || isListed(host, options.hosts);
}

/** A name that this machine has for itself, where the listener is on a loopback address. */
export function isLoopbackName(host: string, { loopbackHost }: VisitorOptions): boolean {
  const name = withoutPort(host);
  if (name === undefined || loopbackHost === undefined) return false;
  const own = name === "localhost" || name === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(name);
  return own || name === bracketed(loopbackHost);
}

/** `https` counts where a proxy may have ended TLS. */
function isOwnOrigin(origin: string, host: string, { loopbackHost, hosts }: VisitorOptions): boolean {
  const listed = isListed(host, hosts);
  const schemes = loopbackHost === undefined || listed ? ["http", "https"] : ["http"];
  if (schemes.some((scheme) => URL.parse(`${scheme}://${host}`)?.origin === origin)) return true;
  // A proxy that does not hand on the Host.
  const parsed = URL.parse(origin);
  return parsed !== null && parsed.origin === origin && isListed(parsed.host, hosts);
}

/** Named in the setting access.hosts. */
export function isListed(host: string, hosts: readonly string[]): boolean {
  const name = withoutPort(host);
  return name !== undefined && hosts.some((listed) => [name, host.toLowerCase()].includes(bracketed(listed)));
}

/** Lower case; undefined when it is no host with an optional port. */
function withoutPort(host: string): string | undefined {
  return /^(\[[\da-f:.]+\]|[^\s:[\]/@]+)(?::\d{0,5})?$/i.exec(host)?.[1]?.toLowerCase();
}

/** IPv6 addresses as Host writes them. */
function bracketed(name: string): string {
  const lower = name.toLowerCase();
  return /^[\da-f.]*:[\da-f.]*:[\da-f:.]*$/.test(lower) ? `[${lower}]` : lower;
}

function foreignPage(): ServiceError {
  return new ServiceError(
    "DENIED",
    "A page of another site sent this request. The registry takes requests of clients and of its own pages only.",
  );
}
