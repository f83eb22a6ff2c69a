// What somebody may name as a source by mistake, and what he is told.

import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { openSource } from "./open-source.ts";

let folder: string;
const servers: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wharfinger-open-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const server of servers.splice(0)) server.close();
  await rm(folder, { recursive: true, force: true });
});

const login = (more = {}) => ({ variables: ["USER_VARIABLE", "PASSWORD_VARIABLE"] as const, dockerFolder: folder, ...more });
const open = (text: string, more = {}) => openSource(text, { region: "us-east-1", allowedHosts: [], concurrency: 1, login: login(more) });

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test.each([
  ["/no/such/folder", "There is no folder /no/such/folder."],
  ["registry.example.com", "There is no folder registry.example.com. A running registry is written https://registry.example.com."],
  ["ftp://old.example.com", "There is no folder ftp://old.example.com. A source is a folder, s3://bucket/prefix, or https://host."],
  ["s3://", "Write s3://bucket or s3://bucket/prefix"],
  ["s3://key:secret@bucket/x", "Write s3://bucket or s3://bucket/prefix"],
  ["https://", "Write https://host or https://host:port"],
  ["https://user:secret@old.example.com", "Use WHARFINGER_SOURCE_USERNAME and WHARFINGER_SOURCE_PASSWORD"],
  ["https://old.example.com/team/app", "Write https://old.example.com alone, and name repositories with --repository."],
  ["https://nobody.invalid", "the name nobody.invalid could not be resolved"],
])("%s", async (text, message) => {
  await expect(open(text)).rejects.toMatchObject({ code: "Unusable", message: expect.stringContaining(message) as string });
});

test("an empty folder, and a file", async () => {
  await expect(open(folder)).rejects.toMatchObject({ message: expect.stringContaining(`${folder} holds no registry`) as string });
  await writeFile(join(folder, "file"), "");
  await expect(open(join(folder, "file"))).rejects.toMatchObject({ message: expect.stringContaining("There is no folder") as string });
});

test("a server that is no registry", async () => {
  const page = await serving((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"));
  await expect(open(page)).rejects.toMatchObject({ message: `${page} is no registry: it answers /v2/ with a web page.` });
  const other = await serving((_, response) => response.writeHead(404).end());
  await expect(open(other)).rejects.toMatchObject({ message: `${other} is no registry: it answers /v2/ with 404.` });
});

/** What a registry was shown with the first request that had a login. */
async function shown(more: object, write?: (host: string) => Promise<void>): Promise<string | undefined> {
  let seen: string | undefined;
  const url = await serving((request, response) => {
    seen ??= request.headers.authorization;
    if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": 'Basic realm="old"' }).end();
    else response.writeHead(200).end();
  });
  await write?.(new URL(url).host);
  await (await open(url, more)).close();
  return seen === undefined ? undefined : Buffer.from(seen.replace("Basic ", ""), "base64").toString();
}

const config = (content: object) => writeFile(join(folder, "config.json"), JSON.stringify(content));

test("the login: variables, docker's config.json, or a credential helper; nobody's where there is none", async () => {
  expect(await shown({ username: "u", password: "p:q" })).toBe("u:p:q");
  expect(await shown({}, (host) => config({ auths: { [host]: { auth: Buffer.from("d:e").toString("base64") } } }))).toBe("d:e");
  const programs = join(folder, "bin");
  await mkdir(programs);
  const helper = join(programs, "docker-credential-test");
  await writeFile(helper, `#!/bin/sh\nread host; echo "{\\"Username\\":\\"$host\\",\\"Secret\\":\\"$1\\"}"\n`);
  await chmod(helper, 0o755);
  vi.stubEnv("PATH", `${programs}:${process.env["PATH"]}`);
  expect(await shown({}, (host) => config({ auths: { [host]: {} }, credsStore: "test" }))).toMatch(/^127\.0\.0\.1:\d+:get$/);
  expect(await shown({}, (host) => config({ credHelpers: { [host]: "test" } }))).toMatch(/:get$/);
  expect(await shown({}, () => config({ credHelpers: { "other.example.com": "test" } }))).toBeUndefined();
});

test.each([
  [{ username: "u" }, {}, "Set USER_VARIABLE and PASSWORD_VARIABLE, or neither of them."],
  [{}, "{", "config.json is not JSON"],
  [{}, { auths: { "old.example.com": {} } }, "names old.example.com without a login. Run docker login old.example.com"],
  [{}, { credHelpers: { "old.example.com": "nowhere" } }, "docker-credential-nowhere, which is not on PATH"],
])("a login that cannot be used is said before anybody is asked: %j %j", async (more, content, message) => {
  await writeFile(join(folder, "config.json"), typeof content === "string" ? content : JSON.stringify(content));
  await expect(open("https://old.example.com", more)).rejects.toMatchObject({
    code: "Unusable",
    message: expect.stringContaining(message) as string,
  });
});
