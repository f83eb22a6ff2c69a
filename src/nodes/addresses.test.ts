import { expect, test } from "vitest";

import { isInternal, isLoopback, parseAddress, parseHost, parseNames } from "./addresses.ts";

test.each([
  ["http://10.96.0.50:5000", "http://10.96.0.50:5000"],
  ["https://registry.example.com/", "https://registry.example.com"],
  ["HTTPS://Registry.Example.com:443", "https://registry.example.com"],
  ["http://[fd00::1]:5000", "http://[fd00::1]:5000"],
])("%s is an address", (text, address) => {
  expect(parseAddress(text)).toBe(address);
});

test.each([
  // Never guessed to be http.
  ["10.96.0.50:5000", "with http:// or https:// in front"],
  ["registry.example.com", "with http:// or https:// in front"],
  ["ftp://registry.example.com", "with http:// or https:// in front"],
  ["https://registry.example.com/cgr", "nothing else"],
  ["https://me:secret@registry.example.com", "nothing else"],
  ["https://registry.example.com?ns=docker.io", "nothing else"],
  ["https://", "nothing else"],
  ["http://wharfinger.registry.svc:5000", "Nodes do not resolve wharfinger.registry.svc"],
  ["http://wharfinger.registry.svc.cluster.local:5000", "Nodes do not resolve"],
])("%s is none", (text, message) => {
  expect(() => parseAddress(text)).toThrow(message);
});

test.each([
  "http://127.0.0.1:5000",
  "http://127.1.2.3",
  "http://localhost:5000",
  "https://a.localhost",
  "http://[::1]:5000",
  "http://0.0.0.0:5000",
  "http://2130706433",
])("%s is the node itself", (address) => {
  expect(isLoopback(parseAddress(address))).toBe(true);
});

test("others are not", () => {
  expect(isLoopback("http://10.0.0.1:5000")).toBe(false);
  expect(isLoopback("https://127.example.com")).toBe(false);
});

test("a host is written as in image references", () => {
  expect(["docker.io", "registry-1.docker.io", "ghcr.io", "old.example.com:5000"].map(parseHost)).toEqual([
    "docker.io",
    "docker.io",
    "ghcr.io",
    "old.example.com:5000",
  ]);
  for (const text of ["https://docker.io", "docker.io/library", "../etc", "-x", "Docker.io", "", "_default"])
    expect(() => parseHost(text)).toThrow("no scheme, no path");
});

test("names are those there, and the prefix here", () => {
  expect(parseNames("docker.io=hub")).toEqual({ host: "docker.io", repositoryPrefix: "", prefix: "hub" });
  expect(parseNames("cgr.dev/chainguard=cgr")).toEqual({ host: "cgr.dev", repositoryPrefix: "chainguard", prefix: "cgr" });
  for (const text of ["docker.io", "docker.io=", "docker.io=a/b", "docker.io=a=b", "cgr.dev/=cgr", "cgr.dev/../x=cgr"])
    expect(() => parseNames(text)).toThrow("<host>=<prefix>");
});

test.each([
  ["http://10.96.0.50:5000", true],
  ["http://172.20.0.1", true],
  ["http://192.168.1.1", true],
  ["http://100.64.0.1", true],
  ["http://[fd00::1]:5000", true],
  ["http://[::ffff:10.0.0.1]", true],
  ["http://34.118.230.7:5000", true],
  ["http://127.0.0.1:5000", true],
  ["http://34.119.0.1", false],
  ["http://192.0.2.1:5000", false],
  ["http://[2001:db8::1]", false],
  ["http://172.32.0.1", false],
  ["http://registry.example.com", false],
  ["http://10.96.0.50.example.com", false],
])("%s is of an internal network: %s", (address, internal) => {
  expect(isInternal(parseAddress(address))).toBe(internal);
});
