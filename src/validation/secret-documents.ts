// Secret and ConfigMap documents beside the resources (standalone mode). Their values go into no message, no log, no record.

import type { SecretData } from "../domain/secrets.ts";
import type { Problem } from "./problem.ts";
import { isObject } from "./structure.ts";
import { didYouMean } from "./suggestion.ts";

const keyPattern = /^[-._a-zA-Z0-9]{1,253}$/;
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const fields = {
  Secret: { text: "stringData", base64: "data" },
  ConfigMap: { text: "data", base64: "binaryData" },
} as const;
const alsoKnown = ["apiVersion", "kind", "metadata", "type", "immutable"];

/** Text wins over base64 under the same key, as for `stringData` in Kubernetes. */
export function readSecretData(
  kind: keyof typeof fields,
  document: Readonly<Record<string, unknown>>,
): { readonly data: SecretData; readonly problems: Problem[] } {
  const names = fields[kind];
  const known = [...alsoKnown, names.text, names.base64];
  const problems: Problem[] = Object.keys(document)
    .filter((field) => !known.includes(field))
    .map((field) => ({ path: field, message: `is no field of a ${kind}${didYouMean(field, known)}`, rule: "unknown-field" }));
  const data = new Map<string, Uint8Array>();

  const read = (field: string, decode: (value: string) => Uint8Array | undefined) => {
    const entries = document[field] ?? {};
    if (!isObject(entries)) {
      problems.push({ path: field, message: "must be an object", rule: "type" });
      return;
    }
    for (const [key, value] of Object.entries(entries)) {
      const path = `${field}[${JSON.stringify(key)}]`;
      if (!keyPattern.test(key)) problems.push({ path, message: "is no valid key: use letters, digits, - _ and .", rule: "name" });
      if (typeof value !== "string") {
        problems.push({ path, message: "must be a string: put it in quotes", rule: "type" });
        continue;
      }
      const bytes = decode(value);
      if (bytes === undefined)
        problems.push({ path, message: `is not base64: encode it, or write it as it is under ${names.text}`, rule: "base64" });
      else data.set(key, bytes);
    }
  };
  read(names.base64, decodeBase64);
  read(names.text, (value) => Buffer.from(value, "utf8"));
  return { data, problems };
}

function decodeBase64(value: string): Uint8Array | undefined {
  const compact = value.replaceAll(/\s/g, "");
  return base64Pattern.test(compact) ? Buffer.from(compact, "base64") : undefined;
}
