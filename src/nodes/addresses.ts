// Addresses and names as they are given for nodes, judged before a node fails by them.

import ipaddr from "ipaddr.js";

import { canonicalHost } from "../domain/upstream-names.ts";

/** Of the machine that asks, whichever it is. */
export function isLoopback(address: string): boolean {
  const { hostname } = new URL(address);
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    hostname === "[::]" ||
    hostname === "0.0.0.0" ||
    /^127(?:\.\d+){3}$/.test(hostname)
  );
}

/** GKE's range for Services, unless somebody chose another: of the public ones, used privately. */
const ofGke = ipaddr.IPv4.parseCIDR("34.118.224.0/20");

/** An address of a network that is not everybody's: what goes there in plain is read by who is inside. A name may lead anywhere, and so is none. */
export function isInternal(address: string): boolean {
  if (isLoopback(address)) return true;
  const text = new URL(address).hostname.replace(/^\[|\]$/g, "");
  if (!ipaddr.isValid(text)) return false;
  const parsed = ipaddr.process(text);
  if (["private", "uniqueLocal", "carrierGradeNat", "linkLocal"].includes(parsed.range())) return true;
  return parsed instanceof ipaddr.IPv4 && parsed.match(ofGke);
}

/** scheme://host[:port] of the registry as nodes reach it; nothing is guessed of it. Throws an Error that says how to write it. */
export function parseAddress(text: string): string {
  const example = "for example http://10.96.0.50:5000, or https://registry.example.com";
  if (!/^https?:\/\//i.test(text))
    throw new Error(`Write it with http:// or https:// in front, ${example}: nodes send nothing over plain http unless that is written.`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.pathname !== "/" || url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    throw new Error(`Write scheme://host:port and nothing else, ${example}.`);
  if (/\.svc(?:\.cluster\.local)?$/.test(url.hostname))
    throw new Error(
      `Nodes do not resolve ${url.hostname}, which is a name for Pods: give the ClusterIP of the Service (\`kubectl get service\`), or a name that nodes resolve.`,
    );
  return url.origin;
}

/** As image references have it: lower case, with a port or without; aliases of Docker Hub are docker.io. Throws an Error that says how to write it. */
export function parseHost(text: string): string {
  if (!/^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/.test(text))
    throw new Error("Write a host as image references have it, for example docker.io or registry.example.com:5000: no scheme, no path.");
  return canonicalHost(text);
}

export interface WrittenNames {
  readonly host: string;
  readonly repositoryPrefix: string;
  readonly prefix: string;
}

/** `docker.io=hub`, `cgr.dev/chainguard=cgr`: what images are called there, and under which prefix they are here. */
export function parseNames(text: string): WrittenNames {
  const [from = "", prefix = "", ...rest] = text.split("=");
  const [host = "", ...path] = from.split("/");
  const segment = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
  if (rest.length > 0 || !segment.test(prefix) || !path.every((part) => segment.test(part)))
    throw new Error(
      "Write <host>=<prefix>, for example docker.io=hub, or cgr.dev/chainguard=cgr where the Upstream has a repositoryPrefix.",
    );
  return { host: parseHost(host), repositoryPrefix: path.join("/"), prefix };
}
