import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

import { expect, test } from "vitest";

import { RemoteAccess } from "./remote-access.ts";

const access = (url: string, data: Readonly<Record<string, string>> | undefined) =>
  new RemoteAccess({
    url,
    secret: {
      name: "default/git",
      read: () => (data === undefined ? undefined : new Map(Object.entries(data).map(([key, text]) => [key, Buffer.from(text)]))),
    },
  });

test("https: the credentials are a header in the environment, whatever characters they have", async () => {
  const reached = await access("https://h/r.git", { username: "me", password: "p:ä\r\nX-Evil: 1\n" }).reach();
  expect(reached.protocol).toBe("https");
  const basic = Buffer.from("me:p:ä\r\nX-Evil: 1").toString("base64");
  expect(reached.env).toEqual({
    GIT_CONFIG_COUNT: "2",
    GIT_CONFIG_KEY_0: "http.extraHeader",
    GIT_CONFIG_VALUE_0: "",
    GIT_CONFIG_KEY_1: "http.extraHeader",
    GIT_CONFIG_VALUE_1: `Authorization: Basic ${basic}`,
  });
  expect(reached.configuration.join(" ")).not.toContain(basic);
  expect(reached.configuration).toContain("http.followRedirects=false");
});

test("https without a Secret of its own: nobody", async () => {
  const { env } = await new RemoteAccess({ url: "https://h/r.git" }).reach();
  expect(env).toEqual({ GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "http.extraHeader", GIT_CONFIG_VALUE_0: "" });
});

test("ssh: key, known hosts and configuration lie where only this user may look, again after they were tidied away, and not after the end", async () => {
  const ssh = access("ssh://git@h/r.git", { identity: "KEY", known_hosts: "h ssh-ed25519 AAAA" });
  let last = "";
  for (let look = 0; look < 2; look++) {
    const { env } = await ssh.reach();
    const config = env["WHARFINGER_SSH_CONFIG"] ?? "";
    const folder = dirname(config);
    expect(folder).not.toBe(last);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder).sort()).toEqual(["config", "identity", "known_hosts"]);
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, "identity"), "utf8")).toBe("KEY\n");
    expect(readFileSync(config, "utf8")).toContain("StrictHostKeyChecking yes");
    expect(env["GIT_SSH_COMMAND"]).not.toContain(folder);
    if (look === 0) rmSync(folder, { recursive: true });
    last = folder;
  }
  await ssh.close();
  expect(() => statSync(last)).toThrow("ENOENT");
});

test.each<[string, Readonly<Record<string, string>> | undefined, string]>([
  ["https://h/r.git", undefined, "there is no Secret default/git, which record.remote.secretRef names: create it"],
  ["https://h/r.git", { username: "me" }, "Secret default/git has no key password: for https it has username and password (a token)"],
  ["https://h/r.git", { password: "p" }, "Secret default/git has no key username"],
  ["ssh://git@h/r.git", { known_hosts: "h" }, "Secret default/git has no key identity: for ssh it has identity"],
  ["ssh://git@h/r.git", { identity: "k", known_hosts: " \n" }, "Secret default/git has no key known_hosts"],
])("%s with %j", async (url, data, message) => {
  await expect(access(url, data).reach()).rejects.toMatchObject({
    code: "RemoteRefused",
    message: expect.stringContaining(message) as string,
  });
});

test("other credentials have another fingerprint", () => {
  const secrets: (Record<string, string> | undefined)[] = [undefined, {}, { password: "a" }, { password: "b" }, { username: "a" }];
  const prints = secrets.map((data) => access("https://h/r.git", data).fingerprint());
  expect(new Set(prints).size).toBe(4);
});
