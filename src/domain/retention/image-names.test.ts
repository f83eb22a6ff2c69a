import { expect, test } from "vitest";

import { digestOf } from "../digest.ts";
import { canonicalHost, type UpstreamNames } from "../upstream-names.ts";
import { resolveImages } from "./image-names.ts";

const digest = digestOf("image");
const all = { include: ["**"], exclude: [] };
const upstreams: readonly (UpstreamNames & { readonly hosts: readonly string[] })[] = [
  { url: "https://docker.io", prefix: "hub", repositoryPrefix: "", repositories: all, hosts: ["docker.io"] },
  {
    url: "https://cgr.dev",
    prefix: "cgr",
    repositoryPrefix: "chainguard",
    repositories: { include: ["**"], exclude: ["chainguard/secret"] },
    hosts: ["cgr.dev"],
  },
];
const served = {
  byHost: (host: string) => upstreams.find(({ hosts }) => hosts.includes(canonicalHost(host))),
  byPrefix: (prefix: string) => upstreams.find((upstream) => upstream.prefix === prefix),
};
const tagsOf = (image: string) => {
  const { digests, tags } = resolveImages([{ image, lastSeen: 1 }], served);
  expect(digests.size).toBe(0);
  return [...tags].flatMap(([repository, found]) => [...found.keys()].map((tag) => `${repository}:${tag}`));
};

test.each([
  ["registry.example.com/team-a/app:v1", ["team-a/app:v1"], "under a name of this registry"],
  ["localhost:30500/team-a/app:v1", ["team-a/app:v1"], "under a port of a node"],
  ["[::1]:5000/team-a/app:v1", ["team-a/app:v1"], "under an address"],
  ["registry.example.com/team-a/app", ["team-a/app:latest"], "without a tag"],
  ["registry.example.com/cgr/nginx:1.27.3", ["cgr/nginx:1.27.3"], "rewritten, under the prefix"],
  ["cgr.dev/chainguard/nginx:1.27.3", ["cgr/nginx:1.27.3"], "original, by ?ns="],
  ["cgr.dev/other/nginx:1", [], "not below what the Upstream serves"],
  ["cgr.dev/chainguard/secret:1", [], "left out by the Upstream"],
  ["registry.example.com/cgr/secret:1", [], "left out, rewritten"],
  ["docker.io/library/nginx:1.27", ["hub/library/nginx:1.27"], "of Docker Hub"],
  ["index.docker.io/nginx:1.27", ["hub/library/nginx:1.27"], "of an alias"],
  ["nginx:1.27", ["hub/library/nginx:1.27", "nginx:1.27"], "without a host: Docker Hub's, or where the runtime looks first"],
  ["team-a/app:v1", ["hub/team-a/app:v1", "team-a/app:v1"], "without a host, with a path"],
  ["registry.example.com/hub/nginx:1.27", ["hub/library/nginx:1.27"], "one name for one repository"],
  ["registry.example.com/cgr", [], "a prefix alone"],
  ["registry.example.com/Team/app:v1", [], "no repository's name"],
  ["registry.example.com/team-a/app:", [], "no tag"],
  ["", [], "nothing"],
  ["://@:/", [], "nonsense"],
])("%s is %j (%s)", (image, expected) => {
  expect(tagsOf(image)).toEqual(expected);
});

test.each([
  digest,
  digest.slice("sha256:".length),
  `docker-pullable://registry.example.com/team-a/app@${digest}`,
  `docker://${digest}`,
  `cgr.dev/chainguard/nginx@${digest}`,
  `registry.example.com/team-a/app:v1@${digest}`,
  `elsewhere.example.com/x@${digest}`,
])("%s is its digest, wherever it was pulled from, and no tag", (image) => {
  expect(resolveImages([{ image, lastSeen: 7 }], served)).toEqual({ digests: new Map([[digest, 7]]), tags: new Map() });
});

test("of several names of one image the one that was seen last counts", () => {
  const seen = [
    { image: "registry.example.com/cgr/nginx:1", lastSeen: 3 },
    { image: "cgr.dev/chainguard/nginx:1", lastSeen: 5 },
    { image: "other:5000/cgr/nginx:1", lastSeen: 4 },
    { image: `a@${digest}`, lastSeen: 2 },
    { image: digest, lastSeen: 1 },
  ];
  expect(resolveImages(seen, served)).toEqual({
    digests: new Map([[digest, 2]]),
    tags: new Map([["cgr/nginx", new Map([["1", 5]])]]),
  });
});
