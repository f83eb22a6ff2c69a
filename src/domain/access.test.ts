import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { compileAccess, type AccessRule, type AccessSituation, type Action } from "./access.ts";
import { compileSelector } from "./glob.ts";
import { admin, anonymous, describeIdentity, type Identity } from "./identity.ts";

const ci: Identity = { kind: "user", name: "ci" };
const eve: Identity = { kind: "user", name: "eve" };
const builder: Identity = { kind: "serviceAccount", issuer: "in-cluster", namespace: "team-a", name: "builder", pod: "build-1" };

function rule(part: Partial<AccessRule>): AccessRule {
  return { subjects: [{ kind: "User", name: "ci" }], repositories: { include: ["team-a/**"], exclude: [] }, actions: ["pull"], ...part };
}

function situation(part: Partial<AccessSituation>): AccessSituation {
  return {
    rules: [],
    everHadPolicy: true,
    openUntilFirstPolicy: false,
    anonymousPull: "None",
    isPublicUpstream: (repository) => repository.startsWith("hub/"),
    ...part,
  };
}

const pusher = rule({ actions: ["pull", "push"] });
const readers = rule({ subjects: [{ kind: "Anonymous" }], repositories: { include: ["public/**"], exclude: ["public/hidden"] } });
const accounts = rule({ subjects: [{ kind: "ServiceAccount", namespace: "team-a", name: "ci" }], actions: ["pull", "push", "delete"] });
const tenant = rule({ repositories: { include: ["**"], exclude: [] }, actions: ["pull", "push", "delete"], within: ["team-a/**"] });

type Row = readonly [string, Partial<AccessSituation>, Identity, Action, string, boolean];

const table: readonly Row[] = [
  ["nothing is allowed without a policy", {}, ci, "pull", "team-a/app", false],
  ["nor pushed", {}, ci, "push", "team-a/app", false],
  ["the admin token may all", {}, admin, "delete", "team-a/app", true],
  ["a rule gives its actions", { rules: [pusher] }, ci, "push", "team-a/app", true],
  ["and no others", { rules: [pusher] }, ci, "delete", "team-a/app", false],
  ["to its subjects only", { rules: [pusher] }, eve, "pull", "team-a/app", false],
  [
    "nobody is not a user called anonymous",
    { rules: [rule({ subjects: [{ kind: "User", name: "anonymous" }] })] },
    anonymous,
    "pull",
    "team-a/app",
    false,
  ],
  ["in its repositories only", { rules: [pusher] }, ci, "pull", "team-b/app", false],
  ["the segment itself is below **", { rules: [pusher] }, ci, "pull", "team-a", true],
  ["a longer segment is another one", { rules: [pusher] }, ci, "pull", "team-ab/app", false],
  ["rules add up", { rules: [readers, pusher] }, ci, "pull", "public/app", true],
  ["Anonymous is everybody", { rules: [readers] }, anonymous, "pull", "public/app", true],
  ["with credentials too", { rules: [readers] }, eve, "pull", "public/app", true],
  ["excluded is not selected", { rules: [readers] }, anonymous, "pull", "public/hidden", false],
  ["Anonymous may only what is written", { rules: [readers] }, anonymous, "push", "public/app", false],
  ["a user is no ServiceAccount of the same name", { rules: [accounts] }, ci, "pull", "team-a/app", false],
  ["the ServiceAccount is", { rules: [accounts] }, { ...builder, name: "ci" }, "delete", "team-a/app", true],
  ["a tenant's rule stays inside its grant", { rules: [tenant] }, ci, "push", "team-a/app", true],
  ["and gives nothing outside", { rules: [tenant] }, ci, "pull", "team-b/app", false],
  ["open before the first policy", { openUntilFirstPolicy: true, everHadPolicy: false }, anonymous, "delete", "team-a/app", true],
  ["closed by the first policy", { openUntilFirstPolicy: true, rules: [pusher] }, anonymous, "pull", "team-a/app", false],
  [
    "even before the history was asked",
    { openUntilFirstPolicy: true, everHadPolicy: false, rules: [pusher] },
    anonymous,
    "pull",
    "team-a/app",
    false,
  ],
  ["not reopened by removing the last", { openUntilFirstPolicy: true, everHadPolicy: true }, anonymous, "push", "team-a/app", false],
  ["not open elsewhere", { openUntilFirstPolicy: false, everHadPolicy: false }, anonymous, "push", "team-a/app", false],
  ["public upstreams", { anonymousPull: "PublicUpstreams" }, anonymous, "pull", "hub/library/alpine", true],
  ["public upstreams, with credentials", { anonymousPull: "PublicUpstreams" }, eve, "pull", "hub/library/alpine", true],
  ["private upstreams", { anonymousPull: "PublicUpstreams" }, anonymous, "pull", "cgr/private", false],
  ["own images are not upstream", { anonymousPull: "PublicUpstreams" }, anonymous, "pull", "team-a/app", false],
  ["all", { anonymousPull: "All" }, anonymous, "pull", "team-a/app", true],
  ["all is for pulls", { anonymousPull: "All" }, anonymous, "push", "team-a/app", false],
  ["none", { anonymousPull: "None" }, anonymous, "pull", "hub/library/alpine", false],
];

describe("access", () => {
  test.each(table)("%s", (_, part, identity, action, repository, expected) => {
    expect(compileAccess(situation(part)).may(identity, action, repository)).toBe(expected);
  });

  test("what nobody gave, nobody has", () => {
    const name = fc.stringMatching(/^[a-z]{1,3}(\/[a-z]{1,3}){0,2}$/);
    fc.assert(
      fc.property(fc.array(name), name, fc.constantFrom<Action>("pull", "push", "delete"), (include, repository, action) => {
        const access = compileAccess(situation({ rules: [rule({ repositories: { include, exclude: [] }, actions: ["pull", "push"] })] }));
        const given = include.includes(repository) && action !== "delete";
        expect(access.may(ci, action, repository)).toBe(given);
        expect(access.may(eve, action, repository)).toBe(false);
        expect(access.may(anonymous, action, repository)).toBe(false);
      }),
    );
  });
});

describe("rules of strangers", () => {
  const strangers = Array.from({ length: 1_000 }, (_, team) =>
    rule({ subjects: [{ kind: "User", name: `of-${team}` }], repositories: { include: ["**"], exclude: [] }, within: [`team-${team}/**`] }),
  );

  /** A user whose name is read as often as somebody asks whether a rule covers him. */
  function counted(): { readonly identity: Identity; readonly reads: () => number } {
    let reads = 0;
    const identity = {
      kind: "user" as const,
      get name() {
        reads++;
        return "of-7";
      },
    };
    return { identity, reads: () => reads };
  }

  test("are not looked at for a repository that they cannot select, and once for an identity where they can", () => {
    const access = compileAccess(situation({ rules: strangers }));
    const { identity, reads } = counted();
    const repositories = Array.from({ length: 100 }, (_, index) => `team-7/app-${index}`);
    expect(repositories.map((repository) => access.may(identity, "pull", repository))).toEqual(repositories.map(() => true));
    expect(reads()).toBe(1);
    expect(access.may(identity, "pull", "team-8/app")).toBe(false);
    expect(access.may(identity, "pull", "team-b/app")).toBe(false);
    expect(reads()).toBe(2);
  });

  test("globs that leave the first segment open are asked about every repository, once for an identity and segment", () => {
    const access = compileAccess(
      situation({ rules: strangers.map(({ subjects }) => rule({ subjects, repositories: { include: ["**"], exclude: [] } })) }),
    );
    const { identity, reads } = counted();
    for (let index = 0; index < 100; index++) expect(access.may(identity, "pull", `any-${index}/app`)).toBe(true);
    expect(reads()).toBe(1_000);
  });

  test("answers are those of a look at every rule", () => {
    const segment = fc.constantFrom("a", "b", "a*", "*", "**");
    const glob = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    const globs = fc.array(glob, { minLength: 1, maxLength: 3 });
    const some = fc.record({
      include: globs,
      exclude: fc.array(glob, { maxLength: 1 }),
      within: fc.option(globs, { nil: undefined }),
      who: fc.constantFrom("ci", "eve"),
    });
    const name = fc.array(fc.constantFrom("a", "b", "ab"), { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(fc.array(some, { maxLength: 6 }), fc.array(name, { minLength: 1, maxLength: 5 }), (rules, repositories) => {
        const written = rules.map(({ include, exclude, within, who }) =>
          rule({
            subjects: [{ kind: "User", name: who }],
            repositories: { include, exclude },
            ...(within === undefined ? {} : { within }),
          }),
        );
        const access = compileAccess(situation({ rules: written }));
        for (const repository of repositories) {
          const selected = ({ include, exclude, within }: (typeof rules)[number]) =>
            compileSelector({ include, exclude })(repository) &&
            (within === undefined || compileSelector({ include: within, exclude: [] })(repository));
          const given = (who: string) => rules.some((one) => one.who === who && selected(one));
          expect([ci, eve].map((identity) => access.may(identity, "pull", repository))).toEqual([given("ci"), given("eve")]);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("protected tags", () => {
  const access = compileAccess(situation({ rules: [rule({ protectedTags: "v\\d+.*|stable" }), readers] }));

  test.each([
    ["team-a/app", "v1.2.3", true],
    ["team-a/app", "stable", true],
    ["team-a/app", "xv1", false],
    ["team-a/app", "stable-2", false],
    ["team-b/app", "v1.2.3", false],
    ["public/app", "v1.2.3", false],
  ])("%s:%s %s", (repository, tag, expected) => {
    expect(access.isProtected(repository, tag)).toBe(expected);
  });

  test("a pattern that cannot be read protects everything", () => {
    expect(compileAccess(situation({ rules: [rule({ protectedTags: "(" })] })).isProtected("team-a/app", "x")).toBe(true);
  });

  test("a pattern that takes exponential time elsewhere is answered", () => {
    const evil = compileAccess(situation({ rules: [rule({ protectedTags: "(a+)+b" })] }));
    expect(evil.isProtected("team-a/app", "a".repeat(128))).toBe(false);
  });
});

test.each([
  [{}, false],
  [{ anonymousPull: "All" as const }, true],
  [{ anonymousPull: "PublicUpstreams" as const }, true],
  [{ rules: [readers] }, true],
  [{ rules: [pusher] }, false],
  [{ openUntilFirstPolicy: true, everHadPolicy: false }, true],
])("%o: anonymous callers may pull something: %s", (part, expected) => {
  expect(compileAccess(situation(part)).anonymousMayPull).toBe(expected);
});

test("identities have names", () => {
  const workflow: Identity = { kind: "oidc", issuer: "github", subject: "repo:octo/app:ref:refs/heads/main", claims: {}, groups: [] };
  const described = [
    "anonymous",
    "user:ci",
    "admin",
    "serviceaccount:in-cluster/team-a/builder",
    "oidc:github/repo:octo/app:ref:refs/heads/main",
  ];
  expect([anonymous, ci, admin, builder, workflow].map(describeIdentity)).toEqual(described);
});
