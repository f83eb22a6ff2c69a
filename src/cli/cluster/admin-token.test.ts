import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { KubeRequest } from "../../operator/kube/kube-client.ts";
import { AdminToken } from "./admin-token.ts";
import type { Cluster } from "./open-cluster.ts";

const minute = 60_000;
let asked: KubeRequest[];
/** Gives out tokens of ten minutes. */
const cluster = {
  name: "context dev",
  namespace: "registry",
  client: {
    send: async (request: KubeRequest) => {
      asked.push(request);
      return { status: { token: `token-${asked.length}`, expirationTimestamp: new Date(Date.now() + 10 * minute).toISOString() } };
    },
  },
} as unknown as Cluster;

beforeEach(() => {
  asked = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

test("one token does until shortly before its end: a long command goes on with another", async () => {
  const admin = new AdminToken(cluster, { serviceAccount: "wharfinger-admin" }, "registry.example.com");
  const after = async (milliseconds: number) => {
    vi.advanceTimersByTime(milliseconds);
    return admin.token();
  };
  expect([await after(0), await after(8 * minute), await after(minute + 1), await after(minute)]).toEqual([
    "token-1",
    "token-1",
    "token-2",
    "token-2",
  ]);
  expect(asked[0]).toMatchObject({
    method: "POST",
    path: "/api/v1/namespaces/registry/serviceaccounts/wharfinger-admin/token",
    body: { spec: { audiences: ["registry.example.com"], expirationSeconds: 600 } },
  });
});

test.each([
  ["https://kubernetes.default.svc.cluster.local"],
  // k3s calls its API server so.
  ["k3s"],
  ["localhost"],
  ["user@registry.example.com"],
  ["registry.example.com/path"],
  [""],
])("no token is asked for %j because a Pod's annotation says so", (said) => {
  expect(() => new AdminToken(cluster, { serviceAccount: "a" }, said)).toThrow("which is no host");
  expect(new AdminToken(cluster, { serviceAccount: "a", audience: "k3s" }, said).bearer).toContain("a token for k3s");
});

test.each(["registry.example.com", "registry.example.com:5000", "10.0.0.1:5000", "localhost:30500"])("%s is a host", (said) => {
  expect(new AdminToken(cluster, { serviceAccount: "a" }, said).bearer).toBe(`ServiceAccount registry/a, with a token for ${said}`);
});
