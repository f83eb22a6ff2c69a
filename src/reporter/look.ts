// One look at everything in a cluster that names an image. What the API server answers says what it covers: the whole cluster or some namespaces, all
// of that or a part.

import { workloadKinds, ClusterError, type Cluster, type WorkloadKind } from "./cluster.ts";

export interface Look {
  /** When it began. */
  readonly takenAt: Date;
  readonly scope: "Cluster" | readonly string[];
  readonly images: ReadonlySet<string>;
  /** Why this is not everything in `scope`; undefined: it is. */
  readonly problem?: string;
  /** Where a watch of Pods goes on from here, for each namespace or for all. */
  readonly pods: readonly { readonly namespace?: string; readonly resourceVersion: string }[];
}

/** A list that expires between two pages is begun again so often. */
const begins = 3;

/**
 * `namespaces`: look only at these. Empty: at the whole cluster, or where nothing of that may be read at all, at the namespace of the credentials.
 * Never rejects: what could not be read is the problem of the look.
 */
export async function lookAt(
  cluster: Cluster,
  { namespaces, now }: { readonly namespaces: readonly string[]; readonly now: Date },
): Promise<Look> {
  if (namespaces.length > 0) return lookAtScope(cluster, namespaces, now);
  const whole = await lookAtScope(cluster, "Cluster", now);
  const { ownNamespace } = cluster;
  return whole.nothingAllowed && ownNamespace !== undefined ? lookAtScope(cluster, [ownNamespace], now) : whole;
}

async function lookAtScope(cluster: Cluster, scope: Look["scope"], takenAt: Date): Promise<Look & { readonly nothingAllowed: boolean }> {
  const images = new Set<string>();
  const pods: { namespace?: string; resourceVersion: string }[] = [];
  const problems: string[] = [];
  let refused = 0;
  const places = scope === "Cluster" ? [undefined] : scope;
  for (const namespace of places) {
    for (const kind of workloadKinds) {
      try {
        const resourceVersion = await listAll(cluster, kind, namespace, images);
        if (kind === "pods") pods.push({ ...(namespace === undefined ? {} : { namespace }), resourceVersion });
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        problems.push(`${kind} ${namespace === undefined ? "of the whole cluster" : `in namespace ${namespace}`}: ${error.message}`);
        if (error.forbidden) refused++;
      }
    }
  }
  return {
    takenAt,
    scope,
    images,
    pods,
    ...(problems.length === 0 ? {} : { problem: summary(problems) }),
    nothingAllowed: refused === places.length * workloadKinds.length,
  };
}

/** Adds what it finds to `images`, and answers the version of the list. What an expired list had found stays: it was in use a moment ago. */
async function listAll(cluster: Cluster, kind: WorkloadKind, namespace: string | undefined, images: Set<string>): Promise<string> {
  for (let begun = 1; ; begun++) {
    try {
      let next: string | undefined;
      for (;;) {
        const page = await cluster.list(kind, {
          ...(namespace === undefined ? {} : { namespace }),
          ...(next === undefined ? {} : { next }),
        });
        for (const image of page.images) images.add(image);
        if (page.next === undefined) return page.resourceVersion;
        ({ next } = page);
      }
    } catch (error) {
      if (!(error instanceof ClusterError && error.expired && begun < begins)) throw error;
    }
  }
}

/** Letters of a problem: plans and conditions say it. */
const longest = 900;

function summary(problems: readonly string[]): string {
  const [first = "", ...others] = problems;
  const short = first.length > longest ? `${first.slice(0, longest)}…` : first;
  return others.length === 0 ? short : `${short}; and ${others.length} more`;
}
