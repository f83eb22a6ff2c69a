// Messages name commands as somebody types them beside the process: `npx wharfinger gc resume`. In a cluster nobody sits there: the same program is
// `kubectl wharfinger`, a job is asked for at its policy, and what needs the registry's own settings runs in one of its Pods.

/** Commands that know no kubeconfig. */
const inPods = /`npx wharfinger (?=(?:registry|restore-metadata|serve|import)\b)/g;
const approval = /run `npx wharfinger job prune --policy \S+ --approve [^`\s]+`, or (?=set the annotation)/g;
const jobs = /`npx wharfinger job (tag-sync|prune) --policy ([^/`\s]+)\/([^`\s]+)`/g;
const kindOf: Readonly<Record<string, string>> = { "tag-sync": "tagpolicy", prune: "retentionpolicy" };

/** The message as it is true for somebody who has a kubeconfig. */
export function adviceInCluster(message: string): string {
  return message
    .replaceAll(approval, "")
    .replaceAll(
      jobs,
      (_, job: string, namespace: string, name: string) => `\`kubectl wharfinger reconcile ${kindOf[job]}/${name} -n ${namespace}\``,
    )
    .replaceAll(inPods, "`wharfinger ")
    .replaceAll("`npx wharfinger ", "`kubectl wharfinger ");
}
