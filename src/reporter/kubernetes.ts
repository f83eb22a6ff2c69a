// The cluster behind a kubeconfig, or the one that this process runs in.

import {
  AppsV1Api,
  BatchV1Api,
  CoreV1Api,
  KubeConfig,
  Watch,
  type V1ControllerRevision,
  type V1CronJob,
  type V1Pod,
  type V1PodTemplateSpec,
} from "@kubernetes/client-node";

import { ClusterError, type Cluster, type ImagePage, type WorkloadKind } from "./cluster.ts";
import { imagesOfPod, imagesOfRevision, imagesOfTemplate } from "./pod-images.ts";

/**
 * Objects of one page. Names are kept and pages are garbage, but V8 lets garbage lie in proportion: the process had 360 MB with 6,000 Pods in pages
 * of 500, 240 MB in pages of 100 (175 MB with none).
 */
const pageSize = 100;
/** Seconds. The server says its newest version before the end, and the client gives up what is silent for 30 s. */
const watchFor = 25;

interface PageOptions {
  readonly limit: number;
  readonly _continue?: string;
}
interface Listed<Item> {
  readonly metadata?: { readonly resourceVersion?: string; readonly _continue?: string };
  readonly items: readonly Item[];
}
type List = (namespace: string | undefined, page: PageOptions) => Promise<ImagePage>;

/** Throws an Error that says what is wrong with the kubeconfig. */
export function openCluster(kubeconfig: string | undefined): Cluster {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (cause) {
    const named = kubeconfig === undefined ? "The kubeconfig" : `The kubeconfig ${kubeconfig}`;
    throw new Error(`${named} cannot be read (${(cause as Error).message}): name another one with --kubeconfig or KUBECONFIG.`, { cause });
  }
  const lists = listsOf(config);
  return {
    ownNamespace: config.getContextObject(config.getCurrentContext())?.namespace,
    list: (kind, { namespace, next }) =>
      answered(() => lists[kind](namespace, { limit: pageSize, ...(next === undefined ? {} : { _continue: next }) })),
    watchPods: (from, onImages, signal) => watchPods(config, from, onImages, signal),
  };
}

interface Workload {
  readonly spec?: { readonly template?: V1PodTemplateSpec };
}
const imagesOfWorkload = ({ spec }: Workload) => imagesOfTemplate(spec?.template);

function listsOf(config: KubeConfig): Readonly<Record<WorkloadKind, List>> {
  const core = config.makeApiClient(CoreV1Api);
  const apps = config.makeApiClient(AppsV1Api);
  const batch = config.makeApiClient(BatchV1Api);
  const list =
    <Item>(
      images: (item: Item) => readonly string[],
      all: (page: PageOptions) => Promise<Listed<Item>>,
      within: (page: PageOptions & { readonly namespace: string }) => Promise<Listed<Item>>,
    ): List =>
    async (namespace, page) => {
      const { metadata, items } = namespace === undefined ? await all(page) : await within({ ...page, namespace });
      const next = metadata?._continue ?? "";
      return { images: items.flatMap(images), resourceVersion: metadata?.resourceVersion ?? "", ...(next === "" ? {} : { next }) };
    };
  return {
    pods: list(
      imagesOfPod,
      (page) => core.listPodForAllNamespaces(page),
      (page) => core.listNamespacedPod(page),
    ),
    replicasets: list(
      imagesOfWorkload,
      (page) => apps.listReplicaSetForAllNamespaces(page),
      (page) => apps.listNamespacedReplicaSet(page),
    ),
    controllerrevisions: list(
      ({ data }: V1ControllerRevision) => imagesOfRevision(data),
      (page) => apps.listControllerRevisionForAllNamespaces(page),
      (page) => apps.listNamespacedControllerRevision(page),
    ),
    deployments: list(
      imagesOfWorkload,
      (page) => apps.listDeploymentForAllNamespaces(page),
      (page) => apps.listNamespacedDeployment(page),
    ),
    statefulsets: list(
      imagesOfWorkload,
      (page) => apps.listStatefulSetForAllNamespaces(page),
      (page) => apps.listNamespacedStatefulSet(page),
    ),
    daemonsets: list(
      imagesOfWorkload,
      (page) => apps.listDaemonSetForAllNamespaces(page),
      (page) => apps.listNamespacedDaemonSet(page),
    ),
    jobs: list(
      imagesOfWorkload,
      (page) => batch.listJobForAllNamespaces(page),
      (page) => batch.listNamespacedJob(page),
    ),
    cronjobs: list(
      ({ spec }: V1CronJob) => imagesOfTemplate(spec?.jobTemplate.spec?.template),
      (page) => batch.listCronJobForAllNamespaces(page),
      (page) => batch.listNamespacedCronJob(page),
    ),
  };
}

async function answered<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw clusterError(error);
  }
}

/** Of the library's errors, or of a Status object. */
function clusterError(error: unknown): ClusterError {
  const { code, statusCode, body, message = "" } = error as { code?: unknown; statusCode?: unknown; body?: unknown; message?: string };
  const status = [code, statusCode].find((candidate) => typeof candidate === "number") ?? 0;
  return new ClusterError(status, statusMessage(body) ?? causeOf(error) ?? message, { cause: error });
}

/** The `message` of a Status, which the library leaves unread in errors. */
function statusMessage(body: unknown): string | undefined {
  try {
    const status = (typeof body === "string" ? JSON.parse(body) : body) as { message?: unknown } | undefined;
    return typeof status?.message === "string" ? status.message : undefined;
  } catch {
    return undefined;
  }
}

/** `fetch failed` says nothing; what it was caused by does. */
function causeOf(error: unknown): string | undefined {
  const { cause } = error as { cause?: unknown };
  return cause instanceof Error ? cause.message : undefined;
}

async function watchPods(
  config: KubeConfig,
  { namespace, resourceVersion }: Parameters<Cluster["watchPods"]>[0],
  onImages: (images: readonly string[]) => void,
  signal: AbortSignal,
): Promise<string> {
  const path = namespace === undefined ? "/api/v1/pods" : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const query = { resourceVersion, allowWatchBookmarks: true, timeoutSeconds: watchFor };
  let latest = resourceVersion;
  const ended = Promise.withResolvers<void>();
  // It may end before anybody waits for it.
  ended.promise.catch(() => undefined);
  const onEvent = (type: string, object: V1Pod & { readonly code?: number; readonly message?: string }) => {
    if (type === "ERROR") {
      ended.reject(new ClusterError(object.code ?? 0, object.message ?? "the watch was ended"));
      return;
    }
    latest = object.metadata?.resourceVersion ?? latest;
    if (type !== "BOOKMARK") onImages(imagesOfPod(object));
  };
  const done = (error: unknown) => (error === null || error === undefined ? ended.resolve() : ended.reject(clusterError(error)));
  const controller = await answered(() => new Watch(config).watch(path, query, onEvent, done));
  const abort = () => controller.abort();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    await ended.promise;
    return latest;
  } finally {
    signal.removeEventListener("abort", abort);
    controller.abort();
  }
}
