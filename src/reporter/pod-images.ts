// The images that an object of a cluster names: what its containers are to run, and what they run.

import type { V1Pod, V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";

import { imageNamePattern, maxImageName } from "../api/control/workloads.ts";

const image = new RegExp(imageNamePattern);

/** What cannot name an image is left out: one odd Pod must not silence a cluster. */
function named(names: readonly (string | undefined)[]): readonly string[] {
  return names.filter((name): name is string => name !== undefined && name.length <= maxImageName && image.test(name));
}

/** `image` as it is written, `imageID` as the runtime pulled it: by digest, of an index or of the platform's manifest. */
export function imagesOfPod({ spec, status }: V1Pod): readonly string[] {
  const statuses = [status?.initContainerStatuses, status?.containerStatuses, status?.ephemeralContainerStatuses].flatMap(
    (list) => list ?? [],
  );
  return [...imagesOfPodSpec(spec), ...named(statuses.map(({ imageID }) => imageID))];
}

export function imagesOfTemplate(template: V1PodTemplateSpec | undefined): readonly string[] {
  return imagesOfPodSpec(template?.spec);
}

function imagesOfPodSpec(spec: V1PodSpec | undefined): readonly string[] {
  const containers = [spec?.initContainers, spec?.containers, spec?.ephemeralContainers].flatMap((list) => list ?? []);
  const volumes = (spec?.volumes ?? []).map((volume) => volume.image?.reference);
  return named([...containers.map((container) => container.image), ...volumes]);
}

/** A ControllerRevision holds what its owner likes, most often a patch with a pod template in it: every `containers` at any depth counts. */
export function imagesOfRevision(data: unknown): readonly string[] {
  const found: (string | undefined)[] = [];
  const waiting = [data];
  for (const value of waiting) {
    if (typeof value !== "object" || value === null) continue;
    for (const [key, inner] of Object.entries(value)) {
      if (/^(?:c|initC|ephemeralC)ontainers$/.test(key) && Array.isArray(inner)) found.push(...inner.map((one) => textOf(one, "image")));
      if (key === "image") found.push(textOf(inner, "reference"));
      waiting.push(inner);
    }
  }
  return named(found);
}

function textOf(value: unknown, key: string): string | undefined {
  const text = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  return typeof text === "string" ? text : undefined;
}
