import { expect, test } from "vitest";

import { validateResource } from "./validate-resource.ts";
import { Verdicts } from "./verdicts.ts";

const key = { kind: "Upstream", namespace: "team", name: "cgr" } as const;
const spec = { url: "https://cgr.dev", prefix: "cgr" };

function counting() {
  let asked = 0;
  const verdicts = new Verdicts((resource, options) => {
    asked++;
    return validateResource(resource, options);
  });
  return { verdicts, asked: () => asked };
}

test("the same question is judged once, whoever asks it anew", () => {
  const { verdicts, asked } = counting();
  const first = verdicts.of({ ...key, spec });
  expect(first).toEqual(validateResource({ ...key, spec }));
  expect(verdicts.of({ ...key, spec: structuredClone(spec) })).toBe(first);
  expect(asked()).toBe(1);
});

test.each([
  ["another spec", { ...key, spec: { ...spec, offline: true } }, {}],
  ["a number that is none", { ...key, spec: { ...spec, url: Number.NaN } }, {}],
  ["another spec before it", { ...key, spec }, { previous: { ...spec, prefix: "other" } }],
  ["other rules for unknown fields", { ...key, spec }, { unknownFields: "warn" }],
  ["another resource", { ...key, name: "other", spec }, {}],
] as const)("%s is judged for itself", (_, resource, options) => {
  const { verdicts, asked } = counting();
  verdicts.of({ ...key, spec });
  verdicts.of({ ...key, spec: { ...spec, url: null } });
  verdicts.of({ ...key, spec });
  expect(verdicts.of(resource, options)).toEqual(validateResource(resource, options));
  expect(asked()).toBe(4);
});

test("what is gone is forgotten", () => {
  const { verdicts, asked } = counting();
  verdicts.of({ ...key, spec });
  verdicts.of({ ...key, name: "other", spec });
  verdicts.keep([key]);
  verdicts.of({ ...key, spec });
  verdicts.of({ ...key, name: "other", spec });
  expect(asked()).toBe(3);
});

test("others have their turn while many are judged", async () => {
  let beats = 0;
  let timer: NodeJS.Immediate | undefined;
  const beat = () => {
    beats++;
    timer = setImmediate(beat);
  };
  beat();
  const include = Array.from({ length: 64 }, (_, index) => `team/${"x".repeat(220)}-${index}`);
  const spec = { subjects: [{ kind: "Anonymous" }], repositories: { include }, actions: ["pull"] };
  const resources = Array.from({ length: 50 }, (_, index) => ({ kind: "AccessPolicy" as const, namespace: "a", name: `p${index}`, spec }));
  const verdicts = new Verdicts();
  await verdicts.ahead(resources, () => ({}));
  clearImmediate(timer);
  expect(beats).toBeGreaterThan(5);
});
