// What a repository of an Upstream is called here and there: `cgr/nginx` here may be `chainguard/nginx` at cgr.dev.

import { compileSelector, type NameTest } from "./glob.ts";
import { prefixOf } from "./reference.ts";

/** What of an Upstream decides about names. */
export interface UpstreamNames {
  readonly url: string;
  readonly prefix: string;
  /** Put before every repository upstream; "" for none. */
  readonly repositoryPrefix: string;
  /** Globs over names as upstream writes them. */
  readonly repositories: { readonly include: readonly string[]; readonly exclude: readonly string[] };
}

export interface UpstreamRepository {
  /** Here, with the prefix and with `library/` where Docker Hub implies it: one name for one repository. */
  readonly name: string;
  /** As upstream writes it. */
  readonly repository: string;
}

const dockerHub = "docker.io";
const dockerHubAliases: ReadonlySet<string> = new Set([
  dockerHub,
  "registry-1.docker.io",
  "index.docker.io",
  "registry.docker.io",
  "registry.hub.docker.com",
]);

/** Aliases of Docker Hub count as docker.io; others as they are, in lower case. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  return dockerHubAliases.has(lower) ? dockerHub : lower;
}

/** The repository that `name` (full, with the prefix) means; undefined when the Upstream does not serve it. */
export function findByName(upstream: UpstreamNames, name: string): UpstreamRepository | undefined {
  if (prefixOf(name) !== upstream.prefix || name.length === upstream.prefix.length) return undefined;
  const rest = name.slice(upstream.prefix.length + 1);
  return served(upstream, upstream.repositoryPrefix === "" ? rest : `${upstream.repositoryPrefix}/${rest}`);
}

/** The repository that `repository` (as upstream writes it, from a `?ns=` request) means; undefined when the Upstream does not serve it. */
export function findByRepository(upstream: UpstreamNames, repository: string): UpstreamRepository | undefined {
  const { repositoryPrefix } = upstream;
  const full = withLibrary(upstream, repository);
  if (repositoryPrefix !== "" && !full.startsWith(`${repositoryPrefix}/`)) return undefined;
  return served(upstream, full);
}

function served(upstream: UpstreamNames, written: string): UpstreamRepository | undefined {
  const repository = withLibrary(upstream, written);
  if (!selectorOf(upstream)(repository)) return undefined;
  const { prefix, repositoryPrefix } = upstream;
  const rest = repositoryPrefix === "" ? repository : repository.slice(repositoryPrefix.length + 1);
  return { name: `${prefix}/${rest}`, repository };
}

/** Compiled once for each published spec: every pull asks. */
const selectors = new WeakMap<UpstreamNames["repositories"], NameTest>();

function selectorOf({ repositories }: UpstreamNames): NameTest {
  const known = selectors.get(repositories);
  if (known !== undefined) return known;
  const selector = compileSelector(repositories);
  selectors.set(repositories, selector);
  return selector;
}

/** Docker Hub keeps its official images under `library/` and lets everybody leave that out. */
function withLibrary(upstream: UpstreamNames, repository: string): string {
  return !repository.includes("/") && isDockerHub(upstream.url) ? `library/${repository}` : repository;
}

function isDockerHub(url: string): boolean {
  return URL.canParse(url) && canonicalHost(new URL(url).host) === dockerHub;
}
