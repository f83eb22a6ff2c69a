// What Helm says after an installation, rendered without a cluster: `helm template` leaves it out, an object of the values may have it.

import { named, render, type Release, type Values } from "./chart.ts";

const name = "notes";
const notes = `{{ include (print .Template.BasePath "/NOTES.txt") . | b64enc }}`;

export async function notesOf(values: Values, release: Release = {}): Promise<string> {
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "notes" }, data: { notes } };
  const objects = await render({ ...values, extraObjects: [object] }, release);
  return Buffer.from(named(objects, "ConfigMap", name, "notes").data["notes"] ?? "", "base64").toString("utf8");
}
