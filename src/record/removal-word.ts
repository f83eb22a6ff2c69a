// A person's word that lets removals go: `<commit>` for all that wait at it, `<commit>/<namespace>` for those of one namespace.

export interface RemovalWord {
  readonly commit: string;
  /** Undefined: of all namespaces. */
  readonly namespace?: string | undefined;
}

/** RFC 1123: what a cluster takes as a namespace. A folder also takes names with dots, of which Git takes not all as a part of a reference. */
const namespacePattern = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const commitPattern = /^[0-9a-f]{4,64}$/;

/** Undefined: it is no word. The commit may be abbreviated. */
export function parseRemovalWord(text: string): RemovalWord | undefined {
  const [commit = "", namespace, ...rest] = text.split("/");
  if (!commitPattern.test(commit) || rest.length > 0) return undefined;
  if (namespace === undefined) return { commit };
  return namespacePattern.test(namespace) ? { commit, namespace } : undefined;
}

export function removalWordText({ commit, namespace }: RemovalWord): string {
  return namespace === undefined ? commit : `${commit}/${namespace}`;
}

/** Whether `message` asks for this word with these words before it (`record confirm-removal `): for all that waits in its namespace, or in any. */
export function asksFor(message: string, before: string, { commit, namespace }: RemovalWord): boolean {
  return message
    .split(before)
    .slice(1)
    .some((rest) => {
      const asked = parseRemovalWord(/^[-/0-9a-z]+/.exec(rest)?.[0] ?? "");
      return asked !== undefined && asked.commit.startsWith(commit) && (namespace === undefined || namespace === asked.namespace);
    });
}

/** The word for one namespace, or, where its name can be no part of one, for all. */
export function removalWordFor(namespace: string, commit: string): RemovalWord {
  return namespacePattern.test(namespace) ? { commit, namespace } : { commit };
}
