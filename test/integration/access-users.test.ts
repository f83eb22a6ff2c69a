// An AccessPolicy whose users are missing, or whose issuer, says so, through the real folder, the log and `wharfinger get`, and takes it back as soon as they
// are there.

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { startStandalone, type Standalone } from "../support/standalone.ts";

let running: Standalone;

beforeAll(async () => {
  running = await startStandalone();
});
afterAll(async () => {
  await running.stop();
});

const hash = `$2b$04$${"x".repeat(53)}`;
const write = (file: string, text: string) => writeFileSync(join(running.config, file), text);
const users = (...names: string[]) =>
  write(
    "users.yaml",
    `apiVersion: v1\nkind: Secret\nmetadata: {name: wharfinger-users}\nstringData:\n  htpasswd: |\n${names.map((name) => `    ${name}:${hash}\n`).join("")}`,
  );

interface View {
  readonly status: { readonly conditions: readonly { type: string; status: string; reason: string; message: string }[] };
}

async function conditions(): Promise<Readonly<Record<string, readonly [status: string, reason: string]>>> {
  const { stdout } = await running.cli(["get", "accpol", "default/team-a", "--output", "json"]);
  const [view] = JSON.parse(stdout) as View[];
  return Object.fromEntries((view?.status.conditions ?? []).map(({ type, status, reason }) => [type, [status, reason]]));
}

const lines = (text: string) =>
  running
    .logs()
    .split("\n")
    .filter((line) => line.includes(text));

test("the Secret is missing, then a user in it, then nobody", async () => {
  write(
    "policy.yaml",
    "apiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: team-a}\nspec:\n" +
      '  subjects: [{kind: User, name: ci}, {kind: User, name: eve}]\n  repositories: {include: ["team-a/**"]}\n  actions: [pull, push]\n',
  );
  const absent = "there is no Secret default/wharfinger-users: create it with the key htpasswd; until then nobody can log in as ci or eve";
  await eventually(async () => expect((await running.cli(["get"])).stdout).toContain(absent));
  await eventually(async () =>
    expect(await conditions()).toMatchObject({
      Ready: ["False", "SecretNotFound"],
      Recorded: ["True", "Succeeded"],
      CredentialsLoaded: ["False", "SecretNotFound"],
    }),
  );

  users("ci");
  const missing = "Secret default/wharfinger-users has no user eve";
  await eventually(async () => expect((await running.cli(["get"])).stdout).toContain(missing));
  await eventually(async () =>
    expect(await conditions()).toMatchObject({ Ready: ["True", "Succeeded"], CredentialsLoaded: ["False", "UserNotFound"] }),
  );

  users("ci", "eve");
  await eventually(async () => expect(await conditions()).toMatchObject({ CredentialsLoaded: ["True", "Succeeded"] }));
  expect((await running.cli(["get"])).stdout).not.toContain(missing);
  expect([lines(absent).length, lines(missing).length]).toEqual([1, 1]);
});

test("an issuer that the settings do not have: the policy and the log say that nobody is this subject", async () => {
  const claims = "claims: [{name: repository, value: octo/app}]";
  write(
    "ci.yaml",
    "apiVersion: wharfinger.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: team-a}\nspec:\n" +
      `  subjects:\n    - {kind: OIDC, issuer: github, ${claims}}\n  repositories: {include: ["team-a/**"]}\n  actions: [pull, push]\n`,
  );
  rmSync(join(running.config, "policy.yaml"), { force: true });
  const nobody =
    "ci.yaml:6: spec.subjects[0].issuer: the settings have no issuer github (auth.issuers); nobody is this subject, and it opens nothing";
  await eventually(async () => expect((await running.cli(["get"])).stdout).toContain(nobody));
  await eventually(async () =>
    expect(await conditions()).toMatchObject({ Ready: ["False", "IssuerNotFound"], Recorded: ["True", "Succeeded"] }),
  );
  expect(lines(nobody).length).toBeGreaterThan(0);
});
