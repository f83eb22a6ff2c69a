// What the chart says of texts before anything is installed (charts/registry/files/forms.json, by scripts/chart-forms.mjs) beside what the program says at
// its start: the chart may let through more, since Go's expressions neither look ahead nor parse, but it refuses nothing that the program takes.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";

import { parseSettings, SettingsError } from "../src/config/load-settings.ts";

interface Form {
  readonly pattern: string;
  readonly say: string;
}
const { forms } = JSON.parse(readFileSync(resolve(import.meta.dirname, "../charts/registry/files/forms.json"), "utf8")) as {
  readonly forms: Readonly<Record<string, Form>>;
};

/** A form, where the settings have it, and settings with a text there. */
const places: readonly (readonly [form: string, path: string, settings: (text: string) => object])[] = [
  ["duration", "gc.trashFor", (text) => ({ gc: { trashFor: text } })],
  ["positive-duration", "gc.lease", (text) => ({ gc: { lease: text } })],
  ["quantity", "limits.repositoryBytes", (text) => ({ limits: { repositoryBytes: text } })],
  ["cidr", "access.trustedProxies[0]", (text) => ({ access: { trustedProxies: [text] } })],
  ["host", "access.hosts[0]", (text) => ({ access: { hosts: [text] } })],
  ["http-url", "storage.s3.endpoint", (text) => ({ storage: { s3: { bucket: "images", endpoint: text } } })],
  ["https-url-or-file", "auth.issuers[0].jwks", (text) => ({ auth: { issuers: [{ name: "edge", issuer: "edge", jwks: text }] } })],
  ["git-remote", "record.remote.url", (text) => ({ record: { remote: { url: text } } })],
  ["postgres-url", "database.url", (text) => ({ database: { url: text } })],
  ["filled", "jobs.priorityClassName", (text) => ({ jobs: { priorityClassName: text } })],
  ["settings.storage.s3.bucket", "storage.s3.bucket", (text) => ({ storage: { s3: { bucket: text } } })],
  ["settings.storage.s3.prefix", "storage.s3.prefix", (text) => ({ storage: { s3: { bucket: "images", prefix: text } } })],
  ["settings.record.remote.branch", "record.remote.branch", (text) => ({ record: { remote: { url: "https://h/r", branch: text } } })],
  ["settings.record.remote.folder", "record.remote.folder", (text) => ({ record: { remote: { url: "https://h/r", folder: text } } })],
  ["settings.jobs.image", "jobs.image", (text) => ({ jobs: { image: text } })],
  ["settings.clusters[].name", "clusters[0].name", (text) => ({ clusters: [{ name: text }] })],
  ["settings.auth.issuers[].name", "auth.issuers[0].name", (text) => ({ auth: { issuers: [{ name: text, issuer: "a", jwks: "b" }] } })],
  [
    "settings.retention.scanners.userAgents[]",
    "retention.scanners.userAgents[0]",
    (text) => ({ retention: { scanners: { userAgents: [text] } } }),
  ],
];

/** What texts of these forms are made of, and what is not a part of any. */
const pieces = [
  "https:// http:// HTTPS:// ssh:// postgres:// postgresql:// git@ me@ me:secret@ registry.example.com db :5432 :443 / // .. . - _ .lock a B 0 1",
  "10.0.0.0 /8 /24 fd00:: [fd00::1] ::ffff:10.0.0.1 1.5 90 ms s m h d Ki Gi k E ?x=1 #f %20 ä , = team /etc/keys.json :1.2.3 trivy",
].flatMap((line) => line.split(" "));
const texts = fc.array(fc.constantFrom(" ", ...pieces), { minLength: 1, maxLength: 6 }).map((chosen) => chosen.join(""));

function isTaken(path: string, settings: object): boolean {
  try {
    parseSettings(stringify(settings), "s");
    return true;
  } catch (error) {
    if (error instanceof SettingsError)
      return !error.problems.some((problem) => problem.includes(`: ${path}: not `) || problem.includes(`: ${path}: neither `));
    throw error;
  }
}

test("each form of the settings has a place here", () => {
  const known = new Set(places.map(([form]) => form));
  const ofSettings = Object.keys(forms).filter(
    (name) => name.startsWith("settings.") || ["duration", "quantity", "cidr", "host", "filled"].includes(name),
  );
  expect(ofSettings.filter((name) => !known.has(name))).toEqual([]);
  expect(Object.values(forms).filter(({ say }) => !/^(not .+|neither .+|the chart's to set); (write|leave) /.test(say))).toEqual([]);
});

test.each(places)("%s: the chart refuses nothing that the program takes at %s", (form, path, settings) => {
  const pattern = new RegExp(forms[form]?.pattern ?? "", "u");
  // What its own sentence says to write, and texts that are the same each time: of few forms many are taken.
  const examples = [...(forms[form]?.say ?? "").matchAll(/"([^"]+)"/g)].flatMap(([, example]) => example ?? []);
  const made = fc.sample(texts, { numRuns: 3_000, seed: 27 });
  const taken = [...examples, ...made].filter((text) => isTaken(path, settings(text)));
  expect(taken).not.toEqual([]);
  expect(taken.filter((text) => !pattern.test(text))).toEqual([]);
});
