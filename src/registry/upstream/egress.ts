// The egress policy: what a URL may be before anything is sent to it (design: upstream.md; threat model rows 1-3).

import { lookup } from "node:dns/promises";

import { AddressPolicy } from "./addresses.ts";
import { UpstreamError } from "./errors.ts";
import { settingNames, type UpstreamTarget } from "./target.ts";

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** Name → all its addresses. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

/**
 * Token servers that well-known registries name under another host. Pairs, not domains: "same registrable domain" would trust every
 * `x.svc.cluster.local` and every customer of a hosting provider.
 */
const knownRealms: Readonly<Record<string, readonly string[]>> = {
  "registry-1.docker.io": ["auth.docker.io"],
  "registry.gitlab.com": ["gitlab.com"],
  "docker.elastic.co": ["docker-auth.elastic.co"],
  "lscr.io": ["ghcr.io"],
};

export class EgressPolicy {
  readonly #addresses: AddressPolicy;
  readonly #trustOwnHosts: boolean;
  readonly #resolve: Resolve;

  /**
   * `trustOwnHosts` (standalone): the hosts that an Upstream names may be private addresses, since who writes the folder owns the process.
   * Throws on a malformed CIDR.
   */
  constructor(options: { allowedCIDRs: readonly string[]; trustOwnHosts: boolean; resolve?: Resolve }) {
    this.#addresses = new AddressPolicy(options.allowedCIDRs);
    this.#trustOwnHosts = options.trustOwnHosts;
    this.#resolve = options.resolve ?? ((hostname) => lookup(hostname, { all: true, verbatim: true }));
  }

  /** Where a request of `target` may go. Throws UpstreamError EgressRefused. */
  checkUrl(target: UpstreamTarget, url: URL): void {
    if (url.protocol !== "https:" && !(url.protocol === "http:" && target.insecure)) {
      throw refused(
        `${target.key}: ${url.protocol}//${url.host} is not https${url.protocol === "http:" ? ` (set ${settingNames(target).insecure} to allow http)` : ""}`,
      );
    }
    if (url.username !== "" || url.password !== "") throw refused(`${target.key}: an address with a user name in it is not followed`);
  }

  /** The realm of a challenge: where credentials would be sent. Throws UpstreamError EgressRefused. */
  checkRealm(target: UpstreamTarget, realm: URL): void {
    this.checkUrl(target, realm);
    if (realm.host === target.url.host || names(target.allowedHosts, realm)) return;
    if (realm.port === "" && (knownRealms[target.url.host] ?? []).includes(realm.hostname)) return;
    throw refused(
      `${target.key}: ${target.url.host} asks for a token from ${realm.host}, which is another host; no credentials were sent. Add it to ${settingNames(target).allowedHosts} if that is right`,
    );
  }

  /** The addresses of a host that may be connected to; only these are used. Rejects with UpstreamError. */
  async addressesOf(target: UpstreamTarget, host: { hostname: string; port: string }): Promise<readonly ResolvedAddress[]> {
    const hostname = host.hostname.replace(/^\[(.*)\]$/, "$1");
    const trusted = this.#trustOwnHosts && isOwn(target, host);
    const found = await this.#lookup(target, hostname);
    const allowed = found.filter(({ address }) => this.#addresses.allows(address, { trusted }));
    if (allowed.length === 0) {
      const addresses = found.map(({ address }) => address).join(", ");
      throw refused(
        `${target.key}: ${hostname === addresses ? `${hostname} is` : `${hostname} leads to ${addresses},`} an internal address. ` +
          `Only networks in ${settingNames(target).privateHosts} may be reached: add its own where that is meant; link-local and metadata addresses never are`,
      );
    }
    return allowed;
  }

  async #lookup(target: UpstreamTarget, hostname: string): Promise<readonly ResolvedAddress[]> {
    try {
      const found = await this.#resolve(hostname);
      if (found.length > 0) return found;
    } catch (cause) {
      throw new UpstreamError("Unreachable", `${target.key}: the name ${hostname} could not be resolved (${codeOf(cause)})`, { cause });
    }
    throw new UpstreamError("Unreachable", `${target.key}: the name ${hostname} has no address`);
  }
}

/** The host that the resource wrote down itself, port included, or one of its `allowedHosts`. */
function isOwn(target: UpstreamTarget, host: { hostname: string; port: string }): boolean {
  const port = host.port === "" ? defaultPort(target.url) : host.port;
  const sameHost = bare(target.url.hostname) === bare(host.hostname) && (target.url.port || defaultPort(target.url)) === port;
  return sameHost || target.allowedHosts.some((entry) => entry === bare(host.hostname) || entry === `${host.hostname}:${port}`);
}

/** `host` (any port) or `host:port`. */
function names(entries: readonly string[], url: URL): boolean {
  const port = url.port === "" ? defaultPort(url) : url.port;
  return entries.some((entry) => entry === bare(url.hostname) || entry === `${url.hostname}:${port}`);
}

const bare = (hostname: string) => hostname.replace(/^\[(.*)\]$/, "$1");
const defaultPort = (url: URL) => (url.protocol === "http:" ? "80" : "443");
const refused = (message: string) => new UpstreamError("EgressRefused", message);
const codeOf = (cause: unknown) => (cause as { code?: string }).code ?? "no answer";
