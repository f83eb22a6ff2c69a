import { expect, test } from "vitest";

import { referencesOf } from "./named-references.ts";

const keys = ["username", "password", ".dockerconfigjson", "ca.crt", "tls.key", "cosign.pub", "cosign.key", "trusted_root.json"];
const usedOf = (spec: unknown) => referencesOf(spec).map(({ kind, name, uses }) => [kind, name, keys.filter(uses)]);

test("what a spec names, and the keys that its fields use; of a field that is not known all of them", () => {
  expect(usedOf({ auth: { provider: "generic", secretRef: { name: "pull" } }, certSecretRef: { name: "ca" }, url: null })).toEqual([
    ["Secret", "pull", ["username", "password", ".dockerconfigjson"]],
    ["Secret", "ca", ["ca.crt", "tls.key"]],
  ]);
  const verify = {
    keys: [{ secretRef: { name: "one" } }, { secretRef: { name: "two" } }],
    trustedRoot: { configMapRef: { name: "root" } },
  };
  expect(usedOf({ verify })).toEqual([
    ["Secret", "one", ["cosign.pub"]],
    ["Secret", "two", ["cosign.pub"]],
    ["ConfigMap", "root", ["trusted_root.json"]],
  ]);
  expect(usedOf({ later: { secretRef: { name: "other" } } })).toEqual([["Secret", "other", keys]]);
  expect(usedOf({ auth: { secretRef: { name: 7 } }, list: ["secretRef", null] })).toEqual([]);
});
