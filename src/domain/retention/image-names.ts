// What the images that a cluster names are called here: pulled from this registry under its own name, or under the name of an Upstream by way of
// `?ns=` (registry.md, "Names and routing"). Names are written by strangers; what is no name of an image is nobody's.

import { parseDigest, type Digest } from "../digest.ts";
import { isRepositoryName, isTag, prefixOf } from "../reference.ts";
import { findByName, findByRepository, type UpstreamNames } from "../upstream-names.ts";
import type { ImagesInUse } from "./facts.ts";

/** An image as a Pod writes it, or as the runtime calls it (`imageID`). */
export interface SeenImage {
  readonly image: string;
  /** Epoch milliseconds. */
  readonly lastSeen: number;
}

/** The published Upstreams. */
export interface ServedNames {
  /** The one that answers `?ns=<host>`. */
  byHost(host: string): UpstreamNames | undefined;
  byPrefix(prefix: string): UpstreamNames | undefined;
}

/** Every digest and every tag here that the names may mean; in doubt more than one. */
export function resolveImages(seen: Iterable<SeenImage>, served: ServedNames): ImagesInUse {
  const digests = new Map<Digest, number>();
  const tags = new Map<string, Map<string, number>>();
  const latest = <Key>(times: Map<Key, number>, key: Key, time: number) => times.set(key, Math.max(times.get(key) ?? -Infinity, time));
  for (const { image, lastSeen } of seen) {
    const { digest, name, tag } = readImage(image);
    // A digest is the same image wherever it was pulled from.
    if (digest !== undefined) latest(digests, digest, lastSeen);
    if (digest !== undefined || name === undefined || !isTag(tag)) continue;
    for (const repository of repositoriesOf(name, served)) {
      let known = tags.get(repository);
      if (known === undefined) tags.set(repository, (known = new Map()));
      latest(known, tag, lastSeen);
    }
  }
  return { digests, tags };
}

interface ReadImage {
  readonly digest: Digest | undefined;
  /** Host and path; undefined where there is only a digest. */
  readonly name: string | undefined;
  readonly tag: string;
}

/** `[scheme://]name[:tag][@digest]`, a digest alone, or its 64 digits. */
function readImage(image: string): ReadImage {
  const bare = image.replace(/^[a-z-]+:\/\//, "");
  const alone = parseDigest(bare) ?? parseDigest(`sha256:${bare}`);
  if (alone !== undefined) return { digest: alone, name: undefined, tag: "" };
  const at = bare.indexOf("@");
  const digest = at < 0 ? undefined : parseDigest(bare.slice(at + 1));
  const tagged = at < 0 ? bare : bare.slice(0, at);
  // A colon before the last slash is a port's.
  const colon = tagged.indexOf(":", tagged.lastIndexOf("/") + 1);
  return colon < 0 ? { digest, name: tagged, tag: "latest" } : { digest, name: tagged.slice(0, colon), tag: tagged.slice(colon + 1) };
}

/**
 * A registry does not know all its own names (a Service, an ingress, a port of each node), so a host that is no Upstream's may be ours. A name
 * without a host is Docker Hub's, unless the runtime looks for it elsewhere.
 */
function repositoriesOf(name: string, served: ServedNames): readonly string[] {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const host = /[.:]|^localhost$/.test(first) ? first : undefined;
  const path = host === undefined ? name : name.slice(slash + 1);
  if (!isRepositoryName(path)) return [];
  const upstream = served.byHost(host ?? "docker.io");
  const fromUpstream = upstream === undefined ? undefined : findByRepository(upstream, path)?.name;
  const ours = host === undefined || upstream === undefined ? called(path, served) : undefined;
  return [...new Set([fromUpstream, ours])].filter((found) => found !== undefined);
}

function called(path: string, served: ServedNames): string | undefined {
  const upstream = served.byPrefix(prefixOf(path));
  return upstream === undefined ? path : findByName(upstream, path)?.name;
}
