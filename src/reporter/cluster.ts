// The cluster as the reporter reads it: pages of the kinds that name images, and what happens to Pods. Read only.

/** Kinds that name images: what runs, what will run, and what a rollback would bring back. */
export const workloadKinds = [
  "pods",
  "replicasets",
  "controllerrevisions",
  "deployments",
  "statefulsets",
  "daemonsets",
  "jobs",
  "cronjobs",
] as const;
export type WorkloadKind = (typeof workloadKinds)[number];

/** One page of a list, of which only the names of images are kept. */
export interface ImagePage {
  readonly images: readonly string[];
  /** Of the list as a whole. */
  readonly resourceVersion: string;
  /** For the next page; undefined: this was the last. */
  readonly next?: string;
}

export interface Cluster {
  /** The namespace that the credentials belong to. */
  readonly ownNamespace: string | undefined;
  /** `namespace` undefined: of all. Rejects with ClusterError. */
  list(kind: WorkloadKind, options: { readonly namespace?: string; readonly next?: string }): Promise<ImagePage>;
  /**
   * Tells the images of each Pod that comes or changes after `resourceVersion`. Resolves with a later version when the watch has ended in order,
   * as watches do all the time; rejects with ClusterError.
   */
  watchPods(
    from: { readonly namespace?: string; readonly resourceVersion: string },
    onImages: (images: readonly string[]) => void,
    signal: AbortSignal,
  ): Promise<string>;
}

/** What the API server answers instead. */
export class ClusterError extends Error {
  override readonly name = "ClusterError";
  /** HTTP status; 0: no answer came. */
  readonly status: number;

  constructor(status: number, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.status = status;
  }

  get forbidden(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** What was asked for is too long ago: a page of an old list, or a watch from an old version. */
  get expired(): boolean {
    return this.status === 410;
  }
}
