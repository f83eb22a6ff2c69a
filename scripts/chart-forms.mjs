// The forms of texts in the chart's values. Helm says of a pattern that it does not match; charts/registry/templates/checks.yaml says in words what
// to write, by what this makes of the values' schema: `forms` by name, and under `values` which form each value has.

import { instead } from "../src/config/schema/fields.ts";
import { formatPatterns, formatSentences } from "../src/config/schema/forms.ts";

const host = String.raw`(\[[0-9A-Fa-f:.]+\]|[^/@?#\s:]+)(:[0-9]{1,5})?`;
const dnsName = String.raw`[a-z0-9]([-a-z0-9.]*[a-z0-9])?`;

/** Of the chart's own values: `x-form` in values.schema.json. "" is what stands for "none". */
const own = {
  origin: {
    pattern: `^(https?://${host}/?)?$`,
    say: 'not scheme://host; write for example "https://registry.example.com", without a path and without a password',
  },
  "image-digest": { pattern: "^(sha256:[0-9a-f]{64})?$", say: "not a digest; write sha256: and 64 hexadecimal digits, or leave it out" },
  "object-name": {
    pattern: `^(${dnsName})?$`,
    say: "not a name of Kubernetes; write lower case letters, digits, - and ., for example wharfinger-s3",
  },
  // Of a Secret that always has a name, whether it exists or not: "" might stand for "none" and for "the usual one", which let in others.
  "secret-name": {
    pattern: `^${dnsName}$`,
    say: "not a name of a Secret; write one in lower case letters, digits, - and ., or leave it out for the default; while there is no such Secret nobody comes in by it",
  },
  namespace: {
    pattern: "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    say: "not the name of a namespace; write lower case letters, digits and -, for example team-a",
  },
  "some-namespace": {
    pattern: "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$",
    say: "not the name of a namespace; write lower case letters, digits and -, for example wharfinger-nodes",
  },
  "image-host": {
    pattern: String.raw`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`,
    say: "not a host as image references have it; write for example docker.io, without a scheme and without a path",
  },
  folder: {
    pattern: String.raw`^(/[A-Za-z0-9][-\w.]*){2,}$`,
    say: "not a folder of a node; write its whole path, for example /etc/containerd/certs.d",
  },
  "cluster-name": {
    pattern: "^([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?)?$",
    say: "not a name of a cluster as settings.clusters has it; write lower case letters, digits, - and .",
  },
  size: {
    pattern: "^[0-9]+([.][0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$",
    say: "not a size; write for example 20Gi",
  },
  interval: { pattern: "^[0-9]+(ms|s|m|h)$", say: "not an interval; write for example 30s" },
  "image-of-here": {
    pattern: String.raw`^([a-z0-9][a-z0-9._/-]*(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64}))?$`,
    say: 'not an image of this registry; write repository and tag without its host, for example "cgr/chainguard/nginx:latest"',
  },
  "ip-address": {
    pattern: "^([0-9]{1,3}([.][0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$",
    say: "not an IP address; write for example 10.96.0.50",
  },
  address: {
    pattern: "^(None|[0-9]{1,3}([.][0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)?$",
    say: "not an IP address; write one of the cluster's range for Services, for example 10.96.0.50",
  },
};

/** `minLength` of the settings, and what the chart's own values have in its place: Helm says of it that it "got 0, want 1". */
own.filled = { pattern: String.raw`[\s\S]`, say: "not to be empty; leave it out, or write what belongs there" };

/** Keys of the settings that the chart sets, and what to write instead: two places for one thing would disagree. */
export const ofTheChart = {
  externalURL: "externalURL",
  "database.passwordFile": "database.existingSecret",
  "database.urlFile": "database.existingSecret.urlKey",
  "spool.folder": "registry.spoolSize",
  "storage.folder": "profile=embedded",
  "storage.s3.accessKeyIdFile": "storage.s3.existingSecret",
  "storage.s3.secretAccessKeyFile": "storage.s3.existingSecret",
};

/** Patterns of the settings that look ahead, as Go's expressions: the same but for the end ".lock". */
const goPatterns = {
  "settings.record.remote.branch": String.raw`^[A-Za-z0-9][\w-]*(\.[\w-]+)*(\.?/[\w-]+(\.[\w-]+)*)*$`,
};

/** `schema`: of the values, with `definitions.settings` as the program has it. */
export function chartForms(schema) {
  const forms = {};
  const use = (name, form) => {
    forms[name] = form;
    return name;
  };
  const formOf = (node, path) => {
    const written = path.startsWith("settings.") ? ofTheChart[path.slice("settings.".length)] : undefined;
    if (written !== undefined)
      return use(`instead of ${written}`, { pattern: never, say: `the chart's to set; leave it out and write ${written}` });
    if (node.$ref !== undefined) return formOf(schema.definitions[node.$ref.split("/").at(-1)], path);
    if (node["x-form"] !== undefined) return use(node["x-form"], own[node["x-form"]]);
    if (formatPatterns[node.format] !== undefined)
      return use(node.format, { pattern: formatPatterns[node.format], say: formatSentences[node.format] });
    if (node.pattern !== undefined) {
      if (node[instead] === undefined)
        throw new Error(`${path} has a pattern and no sentence: write it with text() of src/config/schema/fields.ts`);
      return use(path, { pattern: goPatterns[path] ?? node.pattern, say: node[instead] });
    }
    if (node.minLength > 0) return use("filled", own.filled);
    if (node.items !== undefined) {
      const of = formOf(node.items, `${path}[]`);
      return of === undefined ? undefined : { "[]": of };
    }
    const children = Object.entries(node.properties ?? {})
      .map(([name, child]) => [name, formOf(child, path === "" ? name : `${path}.${name}`)])
      .filter(([, of]) => of !== undefined);
    return children.length === 0 ? undefined : Object.fromEntries(children);
  };
  const values = formOf(schema, "");
  return { forms, values };
}

const never = String.raw`^\b\B$`;
