import { expect, test } from "vitest";

import { parseChallenges } from "./challenge.ts";

const samples: readonly [string, string, readonly [string, Record<string, string>][]][] = [
  [
    "Docker Hub",
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"',
    [["bearer", { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:library/alpine:pull" }]],
  ],
  [
    "a comma inside quotes, an error behind",
    'Bearer realm="https://gitlab.com/jwt/auth",service="container_registry",scope="repository:a/b:pull,push",error="invalid_token"',
    [
      [
        "bearer",
        { realm: "https://gitlab.com/jwt/auth", service: "container_registry", scope: "repository:a/b:pull,push", error: "invalid_token" },
      ],
    ],
  ],
  [
    "public ECR: a scope that is no repository",
    'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"',
    [["bearer", { realm: "https://public.ecr.aws/token/", service: "public.ecr.aws", scope: "aws" }]],
  ],
  [
    "private ECR: Basic with a service",
    'Basic realm="https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"',
    [["basic", { realm: "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/", service: "ecr.amazonaws.com" }]],
  ],
  ["Nexus: upper case", 'BASIC realm="Sonatype Nexus Repository Manager"', [["basic", { realm: "Sonatype Nexus Repository Manager" }]]],
  [
    "Artifactory: two schemes in one header",
    'Bearer realm="https://repo.example.com/v2/token",service="repo.example.com:443", Basic realm="Artifactory Realm"',
    [
      ["bearer", { realm: "https://repo.example.com/v2/token", service: "repo.example.com:443" }],
      ["basic", { realm: "Artifactory Realm" }],
    ],
  ],
  ["unquoted", "Basic realm=registry", [["basic", { realm: "registry" }]]],
  [
    "spaces around = and a trailing comma",
    'Bearer realm = "https://a/t" , service = "s",',
    [["bearer", { realm: "https://a/t", service: "s" }]],
  ],
  [
    "Negotiate before Basic",
    'Negotiate, Basic realm="x"',
    [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  ["quoted pairs", 'Basic realm="a \\"b\\" \\\\c"', [["basic", { realm: 'a "b" \\c' }]]],
  ["an empty scope", 'Bearer realm="https://a/t",scope=""', [["bearer", { realm: "https://a/t", scope: "" }]]],
  ["semicolons", 'Bearer realm="https://a/t"; service="s"', [["bearer", { realm: "https://a/t", service: "s" }]]],
  ["names in any case, twice", 'Bearer Realm="https://a/t",REALM="https://evil/t"', [["bearer", { realm: "https://a/t" }]]],
  [
    "an unclosed quote",
    'Bearer realm="https://a/t',
    [
      ["bearer", { realm: "" }],
      ["https", {}],
      ["a", {}],
      ["t", {}],
    ],
  ],
  ["nothing but noise", ',,,=="', []],
  ["empty", "", []],
];

test.each(samples)("%s", (_, header, expected) => {
  expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }])).toEqual(expected);
});

test("several headers, none, and a name that is no name", () => {
  expect(parseChallenges(undefined)).toEqual([]);
  expect(parseChallenges(["Negotiate", 'Basic realm="x"']).map(({ scheme }) => scheme)).toEqual(["negotiate", "basic"]);
  const [challenge] = parseChallenges('Bearer __proto__="x",realm="r"');
  expect(challenge?.parameters["realm"]).toBe("r");
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
});

test("a long header is read in no time", () => {
  expect(parseChallenges(`Bearer ${"a=\\".repeat(100_000)}`).length).toBeLessThan(10_000);
});
