// What reaches the Pod of a job, and what a Job is called.

import { setImmediate as settled } from "node:timers/promises";

import * as fc from "fast-check";
import { expect, test } from "vitest";

import { defaultSettings, type Settings } from "../../config/settings.ts";
import { scheduledPolicies } from "../runs/scheduled-policies.ts";
import type { ObservedResource, ScheduledJob } from "../ports.ts";
import { Schedules } from "../runs/schedules.ts";
import { jobName } from "./job-name.ts";
import { jobManifest } from "./job.ts";
import { podSettings } from "./pod-settings.ts";

const account = { issuer: "in-cluster", namespace: "registry", name: "wharfinger-jobs" };
const settings: Settings = {
  ...defaultSettings,
  externalURL: "https://registry.example.com:8443/",
  access: { ...defaultSettings.access, jobs: account },
  jobs: { ...defaultSettings.jobs, image: "example.com/wharfinger:1" },
};
const at = { namespace: "registry", registry: "http://wharfinger.registry.svc:5000", pullFrom: "http://wharfinger.registry.svc:5000" };
const pods = podSettings(settings, at)!;
const folder = "/var/run/secrets/wharfinger.dev/registry";
const job: ScheduledJob = { kind: "tag-sync", policy: "team-a/nginx", trigger: "schedule", slot: "29380200" };

test("a Pod is restricted, has no token but the registry's of ten minutes, and gets the policy's name as an argument", () => {
  const { template } = jobManifest(job, pods, "registry").spec;
  expect(template.spec).toMatchObject({
    restartPolicy: "Never",
    serviceAccountName: "wharfinger-jobs",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
  });
  expect(template.spec.containers).toEqual([
    {
      name: "job",
      image: "example.com/wharfinger:1",
      imagePullPolicy: "IfNotPresent",
      command: ["wharfinger"],
      args: ["job", "tag-sync", "--own-run", "--policy", "team-a/nginx", "--registry", at.registry, "--token-file", `${folder}/token`],
      resources: settings.jobs.resources,
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
  ]);
  const source = { serviceAccountToken: { path: "token", audience: "registry.example.com:8443", expirationSeconds: 600 } };
  expect(template.spec["volumes"]).toEqual([{ name: "registry-token", projected: { sources: [source] } }]);
});

test("where the control API has an address of its own, a Pod is told both", () => {
  const both = podSettings(settings, { ...at, registry: "http://wharfinger-control.registry.svc:5001" })!;
  const [container] = jobManifest(job, both, "registry").spec.template.spec.containers;
  expect(container?.["args"]).toEqual(
    expect.arrayContaining(["--registry", "http://wharfinger-control.registry.svc:5001", "--pull-from", at.pullFrom]),
  );
});

test("a Job ends: it has a deadline, retries for Pods that were killed, none for what the job itself calls failed; drained nodes do not count", () => {
  expect(jobManifest(job, pods, "registry").spec).toMatchObject({
    backoffLimit: 1,
    activeDeadlineSeconds: 3_600,
    ttlSecondsAfterFinished: 86_400,
    podFailurePolicy: {
      rules: [
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
        { action: "FailJob", onExitCodes: { operator: "In", values: [3] } },
      ],
    },
  });
});

/** A resource with something else in every field that it has, as the operator takes it: the Jobs that it leads to. */
async function jobsOf(resource: Pick<ObservedResource, "annotations" | "generation"> & { readonly spec: Record<string, unknown> }) {
  const asked: ScheduledJob[] = [];
  const schedules = new Schedules({
    maxConcurrent: 4,
    jobs: { run: async (wanted) => void asked.push(wanted) },
    changed: () => undefined,
  });
  const key = { kind: "TagPolicy", namespace: "team-a", name: "nginx" } as const;
  const observed = { ...key, ...resource, source: undefined, lineOf: () => undefined };
  const desired = { key, generation: resource.generation, spec: resource.spec, specDigest: "sha256:0" };
  const served = { ...key, generation: 1, revision: "r", spec: resource.spec, suspend: false };
  const outcome = { served: { resources: [served], withheld: new Map() }, history: { commit: () => undefined } };
  const judgement = { key, observed, state: "good", desired, notes: [] } as const;
  const policies = scheduledPolicies("TagPolicy", [judgement], outcome as never, () => undefined);
  for (const kind of ["tag-sync", "prune"] as const) schedules.update(kind, []);
  schedules.remember();
  // The one that is new, and the one that a person asks for.
  schedules.update("tag-sync", policies);
  await settled();
  schedules.update("tag-sync", [{ ...policies[0]!, requestedAt: "another" }]);
  await settled();
  await schedules.stop();
  expect(asked).toHaveLength(2);
  return asked.map((wanted) => jobManifest(wanted, pods, "registry"));
}

test("whatever a policy says, in its spec, annotations and generation, the template is the same byte for byte", async () => {
  const [plain] = await jobsOf({ spec: { schedule: "0 3 * * *", timeZone: "Etc/UTC" }, annotations: {}, generation: 1 });
  const template = JSON.stringify(plain?.spec);
  const values = fc.oneof(fc.string(), fc.constantFrom("$(id)", "--image=evil", "; rm -rf /", "{{.Image}}"), fc.jsonValue());
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string(), values),
      fc.dictionary(fc.string(), fc.string()),
      fc.string(),
      fc.nat(),
      async (fields, annotations, requested, generation) => {
        const spec = { ...fields, image: fields, schedule: "*/7 * * * *", timeZone: "Asia/Tokyo" };
        const asked = { ...annotations, "wharfinger.dev/requestedAt": requested, "wharfinger.dev/approve-plan": requested };
        for (const made of await jobsOf({ spec, annotations: asked, generation })) expect(JSON.stringify(made.spec)).toBe(template);
      },
    ),
    { numRuns: 50 },
  );
});

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const part = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/);
const resourceName = fc.array(part, { minLength: 1, maxLength: 11 }).map((parts) =>
  parts
    .join(".")
    .slice(0, 253)
    .replace(/[-.]+$/, ""),
);
const wanted = fc.record({
  kind: fc.constantFrom("tag-sync", "prune"),
  policy: fc.tuple(part, resourceName).map((parts) => parts.join("/")),
  slot: fc.stringMatching(/^[a-z0-9]{1,10}$/),
});

test("a Job's name is a DNS label that leaves room for its Pods' own, the same every time and another one for each run", () => {
  fc.assert(
    fc.property(wanted, wanted, (one, other) => {
      const name = jobName(one);
      expect(name).toMatch(label);
      expect(name.length).toBeLessThanOrEqual(57);
      expect(jobName({ ...one })).toBe(name);
      expect(jobName(other) === name).toBe(JSON.stringify(other) === JSON.stringify(one));
    }),
  );
  expect(jobName(job)).toMatch(/^nginx-[0-9a-z]{16}-29380200$/);
  const long = "a".repeat(200);
  expect(jobName({ ...job, policy: `team-a/${long}x` })).not.toBe(jobName({ ...job, policy: `team-a/${long}y` }));
});

test("what is missing for Pods is said, with what to write", () => {
  const { jobs: _, ...access } = settings.access;
  expect(podSettings(defaultSettings, at)).toBeUndefined();
  const { externalURL: __, ...nowhere } = settings;
  expect(() => podSettings(nowhere, at)).toThrow("jobs.image needs externalURL");
  expect(() => podSettings({ ...settings, access }, at)).toThrow("access: {jobs: {namespace: registry, name: wharfinger-jobs}}");
  expect(() => podSettings(settings, { ...at, namespace: "other" })).toThrow("jobs run in the operator's own, other");
  const times = { ...settings.jobs, startWithin: 60_000, deadline: 60_000 };
  expect(() => podSettings({ ...settings, jobs: times }, at)).toThrow("jobs.deadline (1m) must be longer than jobs.startWithin (1m)");
});
