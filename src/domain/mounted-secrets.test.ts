import { assert, constantFrom, property, record, stringMatching } from "fast-check";
import { expect, test } from "vitest";

import { fileNameOf, hashOf, parseFileName, saltFile } from "./mounted-secrets.ts";

const label = stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const named = record({
  kind: constantFrom("Secret" as const, "ConfigMap" as const),
  namespace: label,
  name: stringMatching(/^[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?$/),
  key: stringMatching(/^[A-Za-z0-9._-]{1,20}$/),
});

test("a file is one key of one Secret or ConfigMap of one namespace, and no other's", () => {
  assert(
    property(named, (key) => {
      expect(parseFileName(fileNameOf(key))).toEqual(key);
    }),
  );
  // What looks like another's: an underscore is in keys alone.
  expect(parseFileName("team-a_pull_b_password")).toEqual({ kind: "Secret", namespace: "team-a", name: "pull", key: "b_password" });
  expect(parseFileName("ConfigMap_team-a_root_trusted_root.json")).toEqual({
    kind: "ConfigMap",
    namespace: "team-a",
    name: "root",
    key: "trusted_root.json",
  });
});

test.each(["password", "a_b", "A_b_c", "a_B_c", "a_b_", "a_b_c d", ".salt", "Secret_a_b_c"])("%s is no name of a file", (file) => {
  expect(parseFileName(file)).toBeUndefined();
});

const files = (entries: Record<string, string>) =>
  new Map(Object.entries(entries).map(([file, text]) => [file, new TextEncoder().encode(text)]));

test("a hash is of names and bytes together, in any order, and of nothing that nobody salted", () => {
  const hash = (entries: Record<string, string>) => hashOf(files({ [saltFile]: "s", ...entries }));
  expect(hash({ a_b_c: "1", a_b_d: "2" })).toBe(hash({ a_b_d: "2", a_b_c: "1" }));
  const different: Record<string, string>[] = [
    {},
    { a_b_c: "12" },
    { a_b_c: "1", a_b_d: "2" },
    { a_b_c: "2", a_b_d: "1" },
    { a_b_cd: "1" },
    { a_b_c: "1a_b_d 1\n2" },
  ];
  expect(new Set(different.map(hash)).size).toBe(different.length);
  expect(hashOf(files({ [saltFile]: "t", a_b_c: "1" }))).not.toBe(hash({ a_b_c: "1" }));
  expect(hashOf(files({ a_b_c: "1" }))).toBeUndefined();
});
