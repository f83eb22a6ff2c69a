// What is kept of an object's metadata. Who owns which field is half of an object, and its annotations may be more than all the rest: who may write in
// one namespace would decide how much memory the operator takes, and what each look at everything costs.

import { annotations } from "../../api/conditions.ts";
import { jobAnnotations, jobLabel } from "../../api/job-pods.ts";
import type { ObjectMeta } from "./objects.ts";

const lookedAt = {
  annotations: [...Object.values(annotations), ...Object.values(jobAnnotations)],
  /** The second is how the Pods of a Job are known. */
  labels: [jobLabel, "batch.kubernetes.io/controller-uid"],
} as const;
/** Of a value that is looked at: no time, commit, plan or name is longer. */
const longest = 512;

export function keptMetadata<T extends ObjectMeta>(metadata: T): T {
  const { name, namespace, uid, resourceVersion, generation, deletionTimestamp, creationTimestamp } = metadata;
  const all = { name, namespace, uid, resourceVersion, generation, deletionTimestamp, creationTimestamp };
  const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return {
    ...kept,
    ...only("annotations", metadata),
    ...only("labels", metadata),
  } as T;
}

/** Nothing at all where nothing is looked at: there may be fifty thousand Secrets. */
function only(part: keyof typeof lookedAt, { [part]: values = {} }: ObjectMeta): Partial<ObjectMeta> {
  const found = lookedAt[part].flatMap((name) => (values[name] === undefined ? [] : [[name, values[name].slice(0, longest)] as const]));
  return found.length === 0 ? {} : { [part]: Object.fromEntries(found) };
}
