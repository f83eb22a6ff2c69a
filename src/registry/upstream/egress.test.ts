import { expect, test } from "vitest";

import { targetUrl } from "../../domain/registry-address.ts";
import { EgressPolicy } from "./egress.ts";
import { nextPage } from "./links.ts";
import type { UpstreamTarget } from "./target.ts";

function target(url: string, options: Partial<UpstreamTarget> = {}): UpstreamTarget {
  return {
    key: "default/test",
    url: targetUrl(url),
    insecure: false,
    allowedHosts: [],
    credentials: { state: "anonymous" },
    tls: {},
    timeouts: { connect: 1000, firstByte: 1000, idle: 1000 },
    rateLimit: { reservePercent: 20 },
    ...options,
  };
}

const addresses: Record<string, string[]> = {
  "registry.example.com": ["93.184.216.34"],
  "internal.example.com": ["10.0.0.5"],
  "both.example.com": ["10.0.0.5", "93.184.216.34"],
  "metadata.example.com": ["169.254.169.254"],
  localhost: ["127.0.0.1"],
};
const resolve = (hostname: string) =>
  Promise.resolve((addresses[hostname] ?? [hostname]).map((address) => ({ address, family: address.includes(":") ? 6 : 4 })));
const strict = new EgressPolicy({ allowedCIDRs: [], trustOwnHosts: false, resolve });
const owner = new EgressPolicy({ allowedCIDRs: [], trustOwnHosts: true, resolve });
const example = target("https://registry.example.com");

test.each([
  ["the same host", example, "https://registry.example.com/token"],
  ["Docker Hub's pair", target("https://docker.io"), "https://auth.docker.io/token"],
  ["GitLab's pair", target("https://registry.gitlab.com"), "https://gitlab.com/jwt/auth"],
  ["an allowed host", target("https://a.example.com", { allowedHosts: ["auth.example.com"] }), "https://auth.example.com/t"],
  [
    "an allowed host and port",
    target("https://a.example.com", { allowedHosts: ["auth.example.com:8443"] }),
    "https://auth.example.com:8443/t",
  ],
  ["http where the resource says insecure", target("http://localhost:5000", { insecure: true }), "http://localhost:5000/token"],
])("a realm at %s", (_, from, realm) => {
  expect(() => strict.checkRealm(from, new URL(realm))).not.toThrow();
});

test.each([
  ["another host", example, "https://evil.example.net/token"],
  ["the same registrable domain", example, "https://auth.example.com/token"],
  ["the same cluster domain", target("https://registry.a.svc.cluster.local"), "https://evil.b.svc.cluster.local/token"],
  ["a host that only begins the same", example, "https://registry.example.com.evil.net/token"],
  ["another port", example, "https://registry.example.com:8443/token"],
  ["http", example, "http://registry.example.com/token"],
  ["a user name that looks like the host", example, "https://registry.example.com@evil.net/token"],
  ["the pair of another registry", example, "https://auth.docker.io/token"],
  ["another port of a pair", target("https://docker.io"), "https://auth.docker.io:8443/token"],
  ["the metadata service", example, "http://169.254.169.254/latest/meta-data"],
  ["a file", example, "file:///etc/passwd"],
])("no credentials to a realm at %s", (_, from, realm) => {
  expect(() => strict.checkRealm(from, new URL(realm))).toThrow(expect.objectContaining({ code: "EgressRefused" }) as Error);
});

const host = (text: string) => {
  const url = new URL(text);
  return { hostname: url.hostname, port: url.port };
};

test.each([
  "https://internal.example.com",
  "https://localhost",
  "https://127.1",
  "https://0x7f000001",
  "https://2130706433",
  "https://[::ffff:127.0.0.1]",
  "https://017700000001",
])("%s is internal, however it is written", async (url) => {
  await expect(strict.addressesOf(example, host(url))).rejects.toMatchObject({ code: "EgressRefused" });
});

test("only the public addresses of a name are used", async () => {
  expect(await strict.addressesOf(example, host("https://both.example.com"))).toEqual([{ address: "93.184.216.34", family: 4 }]);
});

test("the owner's own host may be internal, and nothing else may", async () => {
  const own = target("https://internal.example.com:5000", { allowedHosts: ["localhost:9000"] });
  expect(await owner.addressesOf(own, host("https://internal.example.com:5000"))).toHaveLength(1);
  expect(await owner.addressesOf(own, host("https://localhost:9000"))).toHaveLength(1);
  for (const other of [
    "https://internal.example.com:5001",
    "https://internal.example.com",
    "https://localhost:9001",
    "https://10.0.0.5:5000",
  ]) {
    await expect(owner.addressesOf(own, host(other))).rejects.toMatchObject({ code: "EgressRefused" });
  }
  await expect(strict.addressesOf(own, host("https://internal.example.com:5000"))).rejects.toMatchObject({ code: "EgressRefused" });
});

test("link-local and metadata never, though the owner wrote them down and the settings allow everything", async () => {
  const everything = new EgressPolicy({ allowedCIDRs: ["0.0.0.0/0", "::/0"], trustOwnHosts: true, resolve });
  for (const url of ["https://169.254.169.254", "https://metadata.example.com", "https://[fe80::1]", "https://[fd00:ec2::254]"]) {
    await expect(everything.addressesOf(target(url), host(url))).rejects.toMatchObject({ code: "EgressRefused" });
  }
});

test.each([
  ["relative", '</v2/a/tags/list?last=b&n=2>; rel="next"', "/v2/a/tags/list?last=b&n=2"],
  ["absolute: host dropped", '<https://evil.net/v2/a/tags/list?last=b>; rel="next"', "/v2/a/tags/list?last=b"],
  ["unquoted", "</v2/a/tags/list?last=b>; rel=next", "/v2/a/tags/list?last=b"],
  ["relative to the page", '<?last=b>; rel="next"', "/v2/a/tags/list?last=b"],
  ["outside of /v2/", '</admin>; rel="next"', undefined],
  ["climbing out", '</v2/../admin>; rel="next"', undefined],
  ["another relation", '</v2/a/tags/list>; rel="prev"', undefined],
  ["noise", "next", undefined],
])("Link, %s", (_, header, expected) => {
  expect(nextPage(header, new URL("https://registry.example.com/v2/a/tags/list?n=2"))).toBe(expected);
});
