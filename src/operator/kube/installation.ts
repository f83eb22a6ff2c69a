// The installation as an object: the ConfigMap `wharfinger` in the operator's own namespace holds the id that was made once, and takes a person's
// word about the record as annotations (design: record, "One rule").

import { randomUUID } from "node:crypto";

import { annotations } from "../../api/conditions.ts";
import type { HowToSay, PersonsDecision } from "../persons-word.ts";
import { KubeError } from "./errors.ts";
import type { KubeClient } from "./kube-client.ts";
import { fieldManager, paths, type KubeObject } from "./objects.ts";

export const installationName = "wharfinger";

interface InstallationMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The id; made when there is none. Rejects with KubeError. */
export async function installationIn(client: KubeClient, namespace: string): Promise<string> {
  const found = await read(client, namespace);
  const known = found?.data?.["installation"];
  if (known !== undefined && known !== "") return known;
  if (found === undefined) {
    try {
      await makeInstallation(client, namespace, { installation: randomUUID() });
    } catch (error) {
      // Another process was faster: its id counts.
      if (!(error instanceof KubeError && error.reason === "AlreadyExists")) throw error;
    }
  } else {
    // Somebody (a chart) has made it without an id.
    const body = { metadata: { resourceVersion: found.metadata.resourceVersion }, data: { installation: randomUUID() } };
    await client.send({
      method: "PATCH",
      path: pathOf(namespace),
      query: { fieldManager },
      contentType: "application/merge-patch+json",
      body,
    });
  }
  const made = (await read(client, namespace))?.data?.["installation"];
  if (made === undefined) throw new KubeError(0, `ConfigMap ${namespace}/${installationName} went away while it was made`);
  return made;
}

/** Rejects with KubeError, AlreadyExists among others. */
export async function makeInstallation(
  client: Pick<KubeClient, "send">,
  namespace: string,
  data: { readonly installation: string; readonly record?: string },
): Promise<KubeObject> {
  const metadata = { name: installationName, namespace, labels: { "app.kubernetes.io/part-of": "wharfinger" } };
  const body: InstallationMap = { apiVersion: "v1", kind: "ConfigMap", metadata, data };
  return client.send<KubeObject>({ method: "POST", path: paths.configMaps(namespace), query: { fieldManager }, body });
}

const annotationOf: Readonly<Record<PersonsDecision, string>> = {
  "accept-revision": annotations.acceptRevision,
  "confirm-removal": annotations.confirmRemoval,
};

/** The command that sets the annotation. */
export function byAnnotation(namespace: string): HowToSay {
  return (decision, word) => `kubectl -n ${namespace} annotate --overwrite configmap/${installationName} ${sayOf(decision, word)}`;
}

/** The annotation itself: `wharfinger.dev/confirm-removal=1f3c2ab/team-a`. */
export function sayOf(decision: PersonsDecision, word: string): string {
  return `${annotationOf[decision]}=${word}`;
}

/** What a person has said, and nobody has heard yet. */
export function decisionsOf(object: KubeObject | undefined): readonly { readonly decision: PersonsDecision; readonly word: string }[] {
  return Object.entries(annotationOf).flatMap(([decision, name]) => {
    const word = object?.metadata.annotations?.[name];
    return word === undefined || word === "" ? [] : [{ decision: decision as PersonsDecision, word }];
  });
}

/** Takes the annotation away that was heard: it counts once. What was set meanwhile stays. */
export async function takeAway(client: Pick<KubeClient, "send">, object: KubeObject, decision: PersonsDecision): Promise<void> {
  const { namespace = "", resourceVersion } = object.metadata;
  await client.send({
    method: "PATCH",
    path: pathOf(namespace),
    query: { fieldManager },
    contentType: "application/merge-patch+json",
    body: { metadata: { resourceVersion, annotations: { [annotationOf[decision]]: null } } },
  });
}

function pathOf(namespace: string): string {
  return `${paths.configMaps(namespace)}/${installationName}`;
}

async function read(client: KubeClient, namespace: string): Promise<InstallationMap | undefined> {
  try {
    return await client.send<InstallationMap>({ path: pathOf(namespace) });
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  }
}
