import { describe, expect, test } from "vitest";

import { githubClaims, gitlabClaims } from "../../../test/support/token-provider.ts";
import { bearerOf } from "./bearers.ts";

const provider = { kind: "OIDC" as const, name: "github", issuer: "https://token.actions.githubusercontent.com" };
const times = { iss: provider.issuer, aud: "registry.example.com", iat: 1, nbf: 1, exp: 600, jti: "x" };

test("a job of GitHub Actions has the claims of its token, without those that are about the token", () => {
  const { sub, ...others } = githubClaims;
  expect(bearerOf(provider, { ...times, ...githubClaims })).toEqual({
    kind: "oidc",
    issuer: "github",
    subject: sub,
    claims: { sub, ...others },
    groups: [],
  });
});

test("groups are what the claim says that the settings name", () => {
  const gitlab = { ...provider, name: "gitlab", groupsClaim: "groups_direct" };
  expect(bearerOf(gitlab, { ...times, ...gitlabClaims })).toMatchObject({ groups: ["group/maintainers"] });
  expect(bearerOf({ ...gitlab, groupsClaim: "groups" }, { ...times, ...gitlabClaims })).toMatchObject({ groups: [] });
  expect(bearerOf(provider, { ...times, ...gitlabClaims })).toMatchObject({ groups: [] });
  const groupsOf = (groups: unknown) => bearerOf({ ...provider, groupsClaim: "groups" }, { ...times, sub: "a", groups });
  expect(groupsOf("one")).toMatchObject({ groups: ["one"] });
  expect(groupsOf(["one", 2, null, ["three"]])).toMatchObject({ groups: ["one"] });
  expect(groupsOf({ one: true })).toMatchObject({ groups: [] });
  expect(bearerOf({ ...provider, groupsClaim: "constructor" }, { ...times, sub: "a" })).toMatchObject({ groups: [] });
});

test("texts, truth values and whole numbers are claims, written in one way; lists, objects and what JSON rounds are none", () => {
  const said = {
    sub: "a",
    text: "x",
    yes: true,
    no: false,
    seven: 7,
    half: 0.5,
    large: 2 ** 60,
    list: ["x"],
    object: { x: 1 },
    nothing: null,
  };
  expect(bearerOf(provider, { ...times, ...said })).toMatchObject({
    claims: { sub: "a", text: "x", yes: "true", no: "false", seven: "7" },
  });
  const { claims } = bearerOf(provider, { ...times, ...said }) as { claims: object };
  expect(Object.keys(claims)).toEqual(["sub", "text", "yes", "no", "seven"]);
});

describe("claims that the settings demand", () => {
  const github = {
    ...provider,
    requiredClaims: [
      { name: "repository_owner_id", values: ["65", "66"] },
      { name: "runner_environment", values: ["github-hosted"] },
    ],
  };
  test.each<readonly [string, Readonly<Record<string, unknown>>, string | undefined]>([
    ["all are there", {}, undefined],
    ["another of the values", { repository_owner_id: 66 }, undefined],
    ["another owner", { repository_owner_id: "67" }, "repository_owner_id"],
    ["one whose number goes on", { repository_owner_id: "650" }, "repository_owner_id"],
    ["a list that has it", { repository_owner_id: ["65"] }, "repository_owner_id"],
    ["an empty one", { repository_owner_id: "" }, "repository_owner_id"],
    ["none", { repository_owner_id: undefined }, "repository_owner_id"],
    ["one of two", { runner_environment: "self-hosted" }, "runner_environment"],
  ])("%s", (_, said, lacking) => {
    const bearer = bearerOf(github, { ...times, ...githubClaims, ...said });
    const problem = lacking && `its claim ${lacking} is none that auth.issuers github asks for (requiredClaims)`;
    expect("problem" in bearer ? bearer.problem : undefined).toBe(problem);
  });

  test("a claim that must be empty must be there", () => {
    const one = { ...provider, requiredClaims: [{ name: "head_ref", values: [""] }] };
    expect(bearerOf(one, { ...times, ...githubClaims })).toHaveProperty("problem");
    expect(bearerOf(one, { ...times, ...githubClaims, head_ref: "" })).toHaveProperty("subject");
  });
});

describe("its sub", () => {
  test.each([[undefined], [""], ["a\nb"], ["a\u001b[2J"], ["\ud800"], ["x".repeat(513)]])("%j is no name", (sub) => {
    expect(bearerOf(provider, { ...times, ...(sub === undefined ? {} : { sub }) })).toEqual({
      problem: "its sub is no name of at most 512 characters",
    });
  });
  test("may be long", () => expect(bearerOf(provider, { ...times, sub: "x".repeat(512) })).toHaveProperty("subject"));
});
