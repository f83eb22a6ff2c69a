// For runtimes that do not say `?ns=`: the mirror is a path of the registry, the prefix of the Upstream.

import { FormError } from "../form.ts";
import { hostOf, type Mirror, type MirroredHost } from "../mirror.ts";

export interface MirrorPath {
  /** Beginning of image references: `cgr.dev/chainguard`. */
  readonly source: string;
  /** Where these images are here: `registry.example.com/cgr`. */
  readonly target: string;
}

/** Throws FormError where the prefix is not known. */
export function mirrorPath(mirror: Mirror, { host, names }: MirroredHost): MirrorPath {
  if (names === undefined)
    throw new FormError(`This form needs the prefix of ${host} at the registry: give it with --upstream ${host}=<prefix>.`);
  const { prefix, repositoryPrefix } = names;
  return { source: repositoryPrefix === "" ? host : `${host}/${repositoryPrefix}`, target: `${hostOf(mirror)}/${prefix}` };
}
