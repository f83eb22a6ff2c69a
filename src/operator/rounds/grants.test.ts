import { expect, test } from "vitest";

import { refuseGrant } from "./grants.ts";

const grants = {
  administrators: "wharfinger",
  tenants: [
    { namespace: "team-a", repositories: [], kinds: ["Upstream"], prefixes: ["team-a"], hosts: ["mirror.example.com", "index.docker.io"] },
  ],
};
const upstream = { kind: "Upstream", namespace: "team-a", name: "mirror" } as const;

test("a tenant's Upstream answers nodes for the hosts that it was granted, by any of their names, and for no others", () => {
  const refused = (hosts: readonly string[], key: { readonly namespace: string } = upstream) =>
    refuseGrant(grants, { ...upstream, namespace: key.namespace }, { prefix: "team-a", hosts });
  expect(refused(["mirror.example.com", "docker.io"])).toBeUndefined();
  expect(refused([])).toBeUndefined();
  expect(refused(["mirror.example.com", "registry.k8s.io"])).toEqual({
    path: "spec.hosts[1]",
    message: "host registry.k8s.io is not granted (granted: mirror.example.com, docker.io): remove it, or add it to the grant's `hosts`",
  });
  expect(refused(["registry.k8s.io"], { namespace: "wharfinger" })).toBeUndefined();
});
