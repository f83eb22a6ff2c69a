// The record of a cluster: where it stands and where it is, as its operator says it on the installation's ConfigMap, and a person's word to that.

import { annotations } from "../../api/conditions.ts";
import { KubeError } from "../../operator/kube/errors.ts";
import { paths, type KubeObject } from "../../operator/kube/objects.ts";
import { installationName, sayOf } from "../../operator/kube/installation.ts";
import { recordReportIn, type RecordReport, type ReportedRemote } from "../../operator/kube/record-report.ts";
import type { PersonsDecision } from "../../operator/persons-word.ts";
import { asksFor, parseRemovalWord } from "../../record/removal-word.ts";
import { CommandError } from "../failure.ts";
import type { Cluster } from "./open-cluster.ts";
import { explainRefusal } from "./refusals.ts";
import { operatorPods } from "./registry-pods.ts";

/** Rejects with CommandError. */
export async function reportIn(cluster: Cluster): Promise<RecordReport> {
  return (await findReport(cluster)).report;
}

/**
 * The report, and the namespace in which it is: the one that is meant, or where an operator of that namespace says so, whose resources are
 * elsewhere.
 */
async function findReport(cluster: Cluster): Promise<{ readonly report: RecordReport; readonly namespace: string }> {
  const asked = await lookIn(cluster, cluster.namespace);
  const said = asked instanceof KubeError ? await saidByPods(cluster) : undefined;
  const namespace = said ?? cluster.namespace;
  const report = said === undefined ? asked : await lookIn(cluster, said);
  if (report instanceof KubeError) throw explainRefusal(report, { verb: "get", ...configMap(namespace) }, cluster);
  if (report === undefined)
    throw new CommandError(`The operator has not said yet where the record stands (ConfigMap ${namespace}/${installationName}).`);
  return { report, namespace };
}

/** Rejects with CommandError, but for a ConfigMap that is not there. */
async function lookIn(cluster: Cluster, namespace: string): Promise<RecordReport | KubeError | undefined> {
  return recordReportIn(cluster.client, namespace).catch((error: unknown) => {
    if (error instanceof KubeError && error.status === 404) return error;
    throw explainRefusal(error, { verb: "get", ...configMap(namespace) }, cluster);
  });
}

/** Where the operator of this namespace has the record, and with it users and robots; undefined: here, or nobody says so. */
export async function saidByPods({ client, namespace }: Cluster): Promise<string | undefined> {
  const { items } = await client
    .send<{ readonly items: readonly KubeObject[] }>({ path: paths.pods(namespace), query: { labelSelector: operatorPods.pods } })
    // Who may not look is told of the ConfigMap.
    .catch(() => ({ items: [] }));
  return items.flatMap(({ metadata }) => metadata.annotations?.[annotations.recordNamespace] ?? [])[0];
}

/** Undefined where the record is on the operator's volume alone. Rejects with CommandError. */
export async function remoteIn(cluster: Cluster): Promise<ReportedRemote | undefined> {
  const { remote } = await reportIn(cluster);
  if (remote !== undefined && !/^(?:https|ssh):\/\//.test(remote.url))
    throw new CommandError(`${remote.url} is no address from which a record is cloned: it is https:// or ssh://.`);
  return remote;
}

/** Says what waits for it; resolves with the namespace in which it did. Rejects with CommandError, also when nothing waits at that commit. */
export async function sayDecision(cluster: Cluster, decision: PersonsDecision, word: string): Promise<string> {
  const {
    report: { status },
    namespace,
  } = await findReport(cluster);
  const said = sayOf(decision, word);
  const parsed = parseRemovalWord(word);
  const before = sayOf(decision, "");
  if (parsed === undefined || !status.waiting.some((message) => asksFor(message, before, parsed))) {
    const others =
      status.waiting.length === 0 ? "Nothing else waits either." : `What waits:\n${status.waiting.map((what) => `  ${what}`).join("\n")}`;
    throw new CommandError(`Nothing waits at commit ${word} for \`record ${decision}\`. ${others}`);
  }
  const [annotation = "", value] = said.split("=");
  const contentType = "application/merge-patch+json";
  const path = `/api/v1/namespaces/${namespace}/configmaps/${installationName}`;
  await cluster.client
    .send({ method: "PATCH", path, contentType, body: { metadata: { annotations: { [annotation]: value } } } })
    .catch((error: unknown) => {
      throw explainRefusal(error, { verb: "patch", ...configMap(namespace) }, cluster);
    });
  return namespace;
}

function configMap(namespace: string) {
  return {
    resource: "configmaps",
    name: installationName,
    namespace,
    missing: `The operator makes it: is there one in namespace ${namespace}? Name its namespace with -n.`,
  };
}
