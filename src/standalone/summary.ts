// The line that says it is ready: what is served, since which commit, and what to type next.

import type { UpstreamView } from "../api/control/contents.ts";

/** Something to pull that these registries have had for years. */
const wellKnown: Readonly<Record<string, string>> = {
  "cgr.dev": "chainguard/nginx:latest",
  "docker.io": "library/alpine:latest",
  "registry.k8s.io": "pause:3.10",
  "quay.io": "prometheus/busybox:latest",
  "ghcr.io": "astral-sh/uv:latest",
};

export interface SummaryFacts {
  readonly url: string;
  readonly upstreams: readonly Pick<UpstreamView, "prefix" | "url">[];
  /** The record's folder, as the person wrote it. */
  readonly record: string;
  readonly revision: string | null;
}

/** `Serving http://127.0.0.1:5000 (own images; upstreams cgr, hub; record data/record at 1f3c2ab). Try: docker pull …` */
export function summaryLine({ url, upstreams, record, revision }: SummaryFacts): string {
  const prefixes = upstreams.map(({ prefix }) => prefix).sort();
  const parts = [
    "own images",
    ...(prefixes.length === 0 ? [] : [`${prefixes.length === 1 ? "upstream" : "upstreams"} ${prefixes.join(", ")}`]),
    `record ${record}${revision === null ? ", nothing published yet" : ` at ${revision.slice(0, 7)}`}`,
  ];
  return `Serving ${url} (${parts.join("; ")}). Try: ${suggestion(new URL(url).host, upstreams)}`;
}

function suggestion(host: string, upstreams: SummaryFacts["upstreams"]): string {
  for (const [known, image] of Object.entries(wellKnown)) {
    const found = upstreams.find((upstream) => new URL(upstream.url).host === known);
    if (found !== undefined) return `docker pull ${host}/${found.prefix}/${image}`;
  }
  const [first] = upstreams;
  return first === undefined ? `docker push ${host}/team-a/app:v1` : `docker pull ${host}/${first.prefix}/<repository>:<tag>`;
}
