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

/** `yes`, `no`, or the claim for which a token says nothing at all here. */
function mayPush(name: string, claims: Claims): string {
  const issuer = issuers.find((one) => one.name === name);
  if (issuer === undefined) throw new Error(`the guide has no issuer ${name}`);
  const bearer = bearerOf(issuer, claims);
  const may = (action: Action) => !("problem" in bearer) && access.may(bearer, action, "team-a/app");
  if ("problem" in bearer) return /^its claim (\w+) /.exec(bearer.problem)?.[1] ?? bearer.problem;
  return may("push") || may("pull") || may("delete") ? "yes" : "no";
}

const github = { ...githubClaims, environment: "release", sub: "repo:octo/app:environment:release" };

test.each<readonly [string, Claims, string]>([
  ["the release of main", github, "yes"],
  ["a job without the environment", githubClaims, "no"],
  ["another environment", { ...github, environment: "preview" }, "no"],
  ["a pull request", { ...github, event_name: "pull_request", ref: "refs/pull/7/merge" }, "no"],
  ["a pull request that says it is main", { ...github, event_name: "pull_request" }, "no"],
  ["pull_request_target, which is on main", { ...github, event_name: "pull_request_target" }, "no"],
  ["a comment on an issue, likewise", { ...github, event_name: "issue_comment" }, "no"],
  ["what follows another workflow, likewise", { ...github, event_name: "workflow_run" }, "no"],
  ["another branch", { ...github, ref: "refs/heads/x" }, "no"],
  ["a tag that is called main", { ...github, ref: "refs/tags/main", ref_type: "tag" }, "no"],
  ["a fork", { ...github, repository: "octo/fork", repository_id: "75" }, "no"],
  ["who took the name when it was free", { ...github, repository_id: "75" }, "no"],
  ["somebody else's repository", { ...github, repository_owner: "eve", repository_owner_id: "99" }, "repository_owner_id"],
])("GitHub Actions: %s", (_, claims, may) => {
  expect(mayPush("github", claims)).toBe(may);
});

test.each<readonly [string, Claims, string]>([
  ["the protected main", gitlabClaims, "yes"],
  ["main that is not protected", { ...gitlabClaims, ref_protected: "false" }, "no"],
  ["main that is protected, as a truth value", { ...gitlabClaims, ref_protected: true }, "yes"],
  ["another branch", { ...gitlabClaims, ref: "x", ref_path: "refs/heads/x" }, "no"],
  ["a tag that is called main", { ...gitlabClaims, ref_type: "tag", ref_path: "refs/tags/main" }, "no"],
  ["a merge request", { ...gitlabClaims, pipeline_source: "merge_request_event", ref_path: "refs/merge-requests/7/head" }, "no"],
  ["another project of the group", { ...gitlabClaims, project_path: "group/other", project_id: "21" }, "no"],
  ["who took the name when it was free", { ...gitlabClaims, project_id: "21" }, "no"],
  ["a member of the group in somebody else's project", { ...gitlabClaims, namespace_id: "99", namespace_path: "eve" }, "namespace_id"],
])("GitLab: %s", (_, claims, may) => {
  expect(mayPush("gitlab", claims)).toBe(may);
});
