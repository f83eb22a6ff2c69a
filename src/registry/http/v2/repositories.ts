// Whose repository a name is: the team's own, or one of an Upstream, under its prefix or by `?ns=` (design: registry.md, "Names and routing").

import { findByName, findByRepository } from "../../../domain/upstream-names.ts";
import { prefixOf } from "../../../domain/reference.ts";
import type { ConfigurationSource } from "../../services/configuration/configuration.ts";
import type { PullService } from "../../services/pull/pull-service.ts";

export interface Repository {
  readonly kind: "own" | "proxied";
  /** One name for one repository: with its prefix, with `library/` where Docker Hub implies it. What rights are asked for. */
  readonly name: string;
  readonly pull: PullService;
}

export interface Repositories {
  /**
   * `namespace` is the value of `?ns=`; a name of this registry is as none. Undefined when nobody serves the name: an unknown `ns`, a prefix alone, or what an Upstream's filter
   * leaves out.
   */
  find(name: string, namespace: string | undefined): Repository | undefined;
}

export interface RepositoriesOptions {
  readonly configuration: ConfigurationSource;
  readonly own: PullService;
  readonly proxied: PullService;
  /** What this registry is called in image references, host[:port]: a node whose hosts.toml leads elsewhere for such a name says it as `?ns=`. */
  readonly hosts: readonly string[];
}

/** Looks the name up in the published configuration. */
export class PublishedRepositories implements Repositories {
  readonly #configuration: ConfigurationSource;
  readonly #own: PullService;
  readonly #proxied: PullService;
  readonly #hosts: ReadonlySet<string>;

  constructor(options: RepositoriesOptions) {
    this.#configuration = options.configuration;
    this.#own = options.own;
    this.#proxied = options.proxied;
    this.#hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
  }

  find(name: string, namespace: string | undefined): Repository | undefined {
    const configuration = this.#configuration.current();
    if (namespace !== undefined && !this.#hosts.has(namespace.toLowerCase())) {
      const upstream = configuration.upstreamByHost(namespace);
      return upstream && this.#proxy(findByRepository(upstream.spec, name));
    }
    const upstream = configuration.upstreamByPrefix(prefixOf(name));
    return upstream === undefined ? { kind: "own", name, pull: this.#own } : this.#proxy(findByName(upstream.spec, name));
  }

  #proxy(found: { readonly name: string } | undefined): Repository | undefined {
    return found && { kind: "proxied", name: found.name, pull: this.#proxied };
  }
}
