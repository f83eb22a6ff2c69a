// What docs/guides/access.md shows of CI is what others copy: their settings and policy, as they stand there, against tokens of strangers.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";
import { parse } from "yaml";

import { parseSettings } from "../src/config/load-settings.ts";
import { compileAccess, type AccessRule, type Action } from "../src/domain/access.ts";
import { bearerOf } from "../src/registry/issuers/bearers.ts";
import { configuredIssuers } from "../src/registry/issuers/configured.ts";
import { githubClaims, gitlabClaims } from "./support/token-provider.ts";

const text = await readFile(join(resolve(import.meta.dirname, ".."), "docs/guides/access.md"), "utf8");
const blocks = [...text.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, block = ""]) => block);
const blockWith = (words: string) => blocks.find((block) => block.includes(words)) ?? "";

const { auth } = parseSettings(blockWith("token.actions.githubusercontent.com"), "access.md");
const issuers = await configuredIssuers(auth.issuers);
const { spec } = parse(blockWith("name: ci-of-app")) as { spec: AccessRule };
const access = compileAccess({
  rules: [{ ...spec, repositories: { include: spec.repositories.include, exclude: [] } }],
  everHadPolicy: true,
  openUntilFirstPolicy: false,
  anonymousPull: "None",
  isPublicUpstream: () => false,
});

type Claims = Readonly<Record<string, unknown>>;

function mayPush(name: string, claims: Claims): boolean | string {
  const issuer = issuers.find((one) => one.name === name);
  if (issuer === undefined) throw new Error(`the guide has no issuer ${name}`);
  const bearer = bearerOf(issuer, claims);
  const may = (action: Action) => !("problem" in bearer) && access.may(bearer, action, "team-a/app");
  return "problem" in bearer ? bearer.problem : may("push") || may("pull") || may("delete");
}

const github = { ...githubClaims, environment: "release", sub: "repo:octo/app:environment:release" };

test.each<readonly [string, Claims, boolean | RegExp]>([
  ["the release of main", github, true],
  ["a job without the environment", githubClaims, false],
  ["another environment", { ...github, environment: "preview" }, false],
  ["a pull request", { ...github, event_name: "pull_request", ref: "refs/pull/7/merge" }, false],
  ["a pull request that says it is main", { ...github, event_name: "pull_request" }, false],
  ["pull_request_target, which is on main", { ...github, event_name: "pull_request_target" }, false],
  ["a comment on an issue, likewise", { ...github, event_name: "issue_comment" }, false],
  ["what follows another workflow, likewise", { ...github, event_name: "workflow_run" }, false],
  ["another branch", { ...github, ref: "refs/heads/x" }, false],
  ["a tag that is called main", { ...github, ref: "refs/tags/main", ref_type: "tag" }, false],
  ["a fork", { ...github, repository: "octo/fork", repository_id: "75" }, false],
  ["who took the name when it was free", { ...github, repository_id: "75" }, false],
  ["somebody else's repository", { ...github, repository_owner: "eve", repository_owner_id: "99" }, /repository_owner_id/],
])("GitHub Actions: %s", (_, claims, may) => {
  const found = mayPush("github", claims);
  if (typeof may === "boolean") expect(found).toBe(may);
  else expect(found).toMatch(may);
});

test.each<readonly [string, Claims, boolean | RegExp]>([
  ["the protected main", gitlabClaims, true],
  ["main that is not protected", { ...gitlabClaims, ref_protected: "false" }, false],
  ["main that is protected, as a truth value", { ...gitlabClaims, ref_protected: true }, true],
  ["another branch", { ...gitlabClaims, ref: "x", ref_path: "refs/heads/x" }, false],
  ["a tag that is called main", { ...gitlabClaims, ref_type: "tag", ref_path: "refs/tags/main" }, false],
  ["a merge request", { ...gitlabClaims, pipeline_source: "merge_request_event", ref_path: "refs/merge-requests/7/head" }, false],
  ["another project of the group", { ...gitlabClaims, project_path: "group/other", project_id: "21" }, false],
  ["who took the name when it was free", { ...gitlabClaims, project_id: "21" }, false],
  ["a member of the group in somebody else's project", { ...gitlabClaims, namespace_id: "99", namespace_path: "eve" }, /namespace_id/],
])("GitLab: %s", (_, claims, may) => {
  const found = mayPush("gitlab", claims);
  if (typeof may === "boolean") expect(found).toBe(may);
  else expect(found).toMatch(may);
});
