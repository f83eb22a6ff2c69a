// The forms that Jobs have had (test/job-forms): an operator that is upgraded finds Jobs of the version before, and goes on with them.

import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

import { defaultSettings } from "../../config/settings.ts";
import { isOurs, jobOf } from "../kube/job-objects.ts";
import type { ScheduledJob } from "../ports.ts";
import { jobManifest, type JobManifest } from "./job.ts";
import { jobName } from "./job-name.ts";
import { podSettings } from "./pod-settings.ts";

const folder = resolve(import.meta.dirname, "../../../test/job-forms");
const forms = readdirSync(folder).sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
const jobsOf = (form: string | undefined) =>
  parseAllDocuments(readFileSync(resolve(folder, form ?? ""), "utf8")).map((document) => document.toJS() as JobManifest);

const authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/** With everything that may be left out. */
const pods = podSettings(
  {
    ...defaultSettings,
    externalURL: "https://registry.example.com",
    access: { ...defaultSettings.access, jobs: { issuer: "in-cluster", namespace: "registry", name: "wharfinger-jobs" } },
    jobs: { ...defaultSettings.jobs, image: "registry.example.com/wharfinger:1" },
  },
  { namespace: "registry", registry: "http://wharfinger-control.registry.svc:5001", pullFrom: "http://wharfinger.registry.svc:5000" },
);

const wanted: readonly ScheduledJob[] = [
  { kind: "prune", policy: "default/former", trigger: "schedule", slot: "29380200" },
  { kind: "tag-sync", policy: "team-a/nginx", trigger: "manual", slot: "0a1b2c3d4e" },
  { kind: "prune", policy: "team-a/builds", trigger: "manual", slot: "5f6a7b8c9d", approve: "0123456789abcdef0123456789abcdef" },
];

test.each(forms)("Jobs of form %s are ours, say what their run is, and have the name that this version would give them", (form) => {
  const found = jobsOf(form);
  expect(found.map((job) => [isOurs(job), jobOf(job)])).toEqual(wanted.map((job) => [true, job]));
  expect(found.map(({ metadata }) => metadata.name)).toEqual(wanted.map(jobName));
});

test("Jobs are made in the newest form; another one is a new file there, and CONTRIBUTING.md says what goes with it", () => {
  const made = wanted.map((job) => jobManifest(job, { ...pods!, authority }, "registry"));
  expect(made).toEqual(jobsOf(forms.at(-1)));
});
