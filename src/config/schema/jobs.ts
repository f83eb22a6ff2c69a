// `jobs`: the Jobs that the operator makes.

import { Type } from "typebox";

import { duration, group, instead, least, most, name, positive, positiveCount, text } from "./fields.ts";

const quantities = (description: string) =>
  Type.Unsafe({ type: "object", additionalProperties: { type: ["string", "integer"] }, description });

const toleration = Type.Object(
  {
    key: Type.String({ description: "The taint's key; without it all." }),
    operator: Type.Enum(["Equal", "Exists"], { description: "How `value` is compared." }),
    value: Type.String({ description: "The taint's value." }),
    effect: Type.Enum(["NoSchedule", "PreferNoSchedule", "NoExecute"], { description: "The taint's effect; without it all." }),
    tolerationSeconds: Type.Integer({ description: "How long a Pod stays on a node with a `NoExecute` taint." }),
  },
  { additionalProperties: false, required: [] },
);

export const jobs = group(
  {
    image: text({
      pattern: "^[A-Za-z0-9][\\w.:/@-]{0,511}$",
      [instead]: 'not an image; write for example "registry.example.com/wharfinger:1.2.3"',
      description:
        "The image of their Pods, which has this program. Without it jobs run inside of the operator's process, whose token has to be an administrator's then.",
    }),
    command: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: "How the program is called in the image." }),
    imagePullPolicy: Type.Enum(["IfNotPresent", "Always", "Never"], { description: "When a node pulls the image." }),
    imagePullSecrets: Type.Array(name(""), { description: "Names of Secrets in the operator's namespace with which a node pulls it." }),
    maxConcurrent: positiveCount(4, "Jobs that run at once; others wait their turn. Also of jobs inside of the process."),
    startWithin: positive("A Job of which no container has run by then has failed, with the reason that its Pod gives.", {
      [least]: 1_000,
      [most]: 24 * 3_600_000,
    }),
    deadline: positive("A Job that has not ended by then is stopped.", { [least]: 1_000, [most]: 24 * 3_600_000 }),
    retries: Type.Integer({
      minimum: 0,
      maximum: 10,
      description:
        "Pods that may follow one that ended without having said how (killed, out of memory). What a job itself calls failed is not tried again before its next time.",
    }),
    keepFor: duration("How long a Job that has ended stays to be looked at, and its logs.", { [most]: 30 * 24 * 3_600_000 }),
    history: group(
      {
        succeeded: Type.Integer({ minimum: 0, maximum: 100, description: "How many Jobs of one policy that succeeded stay." }),
        failed: Type.Integer({ minimum: 0, maximum: 100, description: "How many that failed." }),
      },
      "What stays of Jobs.",
    ),
    resources: group(
      { requests: quantities("What a Pod asks of a node."), limits: quantities("What it may use at most.") },
      "As of any container.",
    ),
    nodeSelector: Type.Unsafe({
      type: "object",
      additionalProperties: { type: "string" },
      description: "Labels of the nodes on which they may run.",
    }),
    tolerations: Type.Array(toleration, { description: "Taints of nodes that do not keep them away." }),
    priorityClassName: name("Their PriorityClass."),
  },
  "Jobs of policies, as the operator runs them. They run in its own namespace, as the ServiceAccount `access.jobs`.",
);
