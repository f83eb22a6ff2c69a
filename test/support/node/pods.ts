// Pods of tests: one command, to its end.

import { randomBytes } from "node:crypto";

import type { Release } from "./release.ts";

export interface PodOptions {
  readonly image: string;
  readonly command: readonly string[];
  /** Name of a Secret with which the node pulls. */
  readonly pullSecret?: string;
  /** `default` by default. */
  readonly serviceAccount?: string;
}

/** Runs it, by an image that the node asks for anew. Resolves with what it said; rejects with what `kubectl describe` says of it. */
export async function runPod(
  release: Pick<Release, "kubectl" | "apply">,
  { image, command, pullSecret, serviceAccount }: PodOptions,
): Promise<string> {
  const name = `pod-${randomBytes(4).toString("hex")}`;
  const container = { name: "main", image, imagePullPolicy: "Always", command };
  const secrets = pullSecret === undefined ? {} : { imagePullSecrets: [{ name: pullSecret }] };
  const account = serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount };
  const spec = { restartPolicy: "Never", terminationGracePeriodSeconds: 0, containers: [container], ...secrets, ...account };
  await release.apply(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec }));
  try {
    await release.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", `pod/${name}`, "--timeout=90s");
  } catch (error) {
    throw new Error(await describePod(release, name), { cause: error });
  }
  return release.kubectl("logs", name);
}

export const describePod = (release: Pick<Release, "kubectl">, name: string): Promise<string> => release.kubectl("describe", "pod", name);
