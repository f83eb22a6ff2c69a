// The Job of a run. No field of a resource reaches the template of its Pod but the policy's name, as an argument of its own: what a tenant may
// write must not choose an image, a command, an account or a node (design: operator, "Jobs").

import { authorityAnnotation, failedAndTold, jobAnnotations, jobLabel } from "../../api/job-pods.ts";
import type { ScheduledJob } from "../ports.ts";
import { jobName } from "./job-name.ts";
import type { PodSettings } from "./pod-settings.ts";

const folder = "/var/run/secrets/wharfinger.dev/registry";
/** Seconds; the least that an API server takes. The kubelet replaces it long before its end. */
const tokenFor = 600;

export interface JobManifest {
  readonly apiVersion: "batch/v1";
  readonly kind: "Job";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>> & { readonly template: PodTemplate };
}

export interface PodTemplate {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>> & { readonly containers: readonly Readonly<Record<string, unknown>>[] };
}

/**
 * Without an owner: the policy may be in another namespace, and what becomes of its job when it is deleted is the operator's to tell. What the run
 * is stands in annotations of the Job, so that the next operator goes on with it.
 */
export function jobManifest(job: ScheduledJob, settings: PodSettings, namespace: string): JobManifest {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: jobName(job), namespace, labels: labelsOf(job), annotations: annotationsOf(job) },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: settings.retries,
      activeDeadlineSeconds: seconds(settings.deadline),
      ttlSecondsAfterFinished: seconds(settings.keepFor),
      podFailurePolicy: {
        rules: [
          // A node that was drained is nobody's failure.
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
          { action: "FailJob", onExitCodes: { operator: "In", values: [failedAndTold] } },
        ],
      },
      template: podTemplate(job, settings),
    },
  };
}

function podTemplate(job: ScheduledJob, settings: PodSettings): PodTemplate {
  const { registry, pullFrom, audience, image, command, imagePullPolicy, imagePullSecrets, priorityClassName } = settings;
  const { authority, serviceAccount, nodeSelector, tolerations, resources } = settings;
  // Left out where it says nothing new: the program of the version before does not know it.
  const addresses = ["--registry", registry, ...(pullFrom === registry ? [] : ["--pull-from", pullFrom])];
  const files = ["--token-file", `${folder}/token`, ...(authority === undefined ? [] : ["--ca", `${folder}/ca.crt`])];
  const args = ["job", job.kind, "--own-run", "--policy", job.policy, ...addresses, ...files];
  const token = { serviceAccountToken: { path: "token", audience, expirationSeconds: tokenFor } };
  // With the Pod, and not by the name of a Secret: it needs no right, and is what the operator itself goes by at this moment.
  const fieldPath = `metadata.annotations['${authorityAnnotation}']`;
  const trusted = authority === undefined ? [] : [{ downwardAPI: { items: [{ path: "ca.crt", fieldRef: { fieldPath } }] } }];
  return {
    metadata: { labels: labelsOf(job), ...(authority === undefined ? {} : { annotations: { [authorityAnnotation]: authority } }) },
    spec: {
      restartPolicy: "Never",
      serviceAccountName: serviceAccount,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 30,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }),
      ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
      ...(tolerations.length === 0 ? {} : { tolerations }),
      ...(priorityClassName === undefined ? {} : { priorityClassName }),
      containers: [
        {
          name: "job",
          image,
          imagePullPolicy,
          command,
          args,
          resources,
          securityContext: {
            runAsNonRoot: true,
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
            seccompProfile: { type: "RuntimeDefault" },
          },
          terminationMessagePolicy: "FallbackToLogsOnError",
          volumeMounts: [{ name: "registry-token", mountPath: folder, readOnly: true }],
        },
      ],
      volumes: [
        {
          name: "registry-token",
          projected: { sources: [token, ...trusted] },
        },
      ],
    },
  };
}

function labelsOf({ kind }: ScheduledJob): Readonly<Record<string, string>> {
  return { "app.kubernetes.io/part-of": "wharfinger", "app.kubernetes.io/component": "job", [jobLabel]: kind };
}

function annotationsOf({ policy, trigger, slot, approve }: ScheduledJob): Readonly<Record<string, string>> {
  return {
    [jobAnnotations.policy]: policy,
    [jobAnnotations.trigger]: trigger,
    [jobAnnotations.slot]: slot,
    ...(approve === undefined ? {} : { [jobAnnotations.approve]: approve }),
  };
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}
