// The login of the registry that is imported from, or of a user of the one it goes to: two variables, or what `docker login` left behind.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { isDockerHub, loginNames, targetUrl } from "../domain/registry-address.ts";
import { dockerLogin, type DockerLogin, type Login } from "../domain/registry-login.ts";
import { Hidden } from "../registry/upstream/hidden.ts";
import type { Credentials } from "../registry/upstream/target.ts";
import { SourceError } from "./import-source.ts";

export interface LoginPlaces {
  readonly username?: string;
  readonly password?: string;
  /** Names of the variables that the two came from. */
  readonly variables: readonly [string, string];
  /** Folder of docker's config.json. */
  readonly dockerFolder: string;
}

interface DockerConfig {
  readonly auths?: Readonly<Record<string, DockerLogin>>;
  readonly credsStore?: unknown;
  readonly credHelpers?: Readonly<Record<string, unknown>>;
}

interface Found {
  readonly credentials: Credentials;
  readonly credentialsFrom: string;
}

/** Rejects with SourceError Unusable when what is there cannot be read: asking without a login would be something else. */
export async function findLogin(url: URL, places: LoginPlaces): Promise<Found> {
  const { username, password, variables } = places;
  const both = variables.join(" and ");
  if ((username === undefined) !== (password === undefined)) throw new SourceError("Unusable", `Set ${both}, or neither of them.`);
  if (username !== undefined && password !== undefined) return loaded({ username, password }, both);
  const file = join(places.dockerFolder, "config.json");
  const config = await readConfig(file);
  const target = targetUrl(url.href);
  const login = dockerLogin(config?.auths ?? {}, target);
  if (typeof login === "object") return loaded(login, file);
  const helper = helperFor(config, target);
  const kept = helper === undefined ? undefined : await askHelper(helper, target);
  if (kept !== undefined) return loaded(kept, `${file} (${helper})`);
  if (login === "incomplete" && helper === undefined)
    throw new SourceError("Unusable", `${file} names ${target.host} without a login. Run docker login ${target.host}, or set ${both}.`);
  return { credentials: { state: "anonymous" }, credentialsFrom: `${both}, or docker login` };
}

const loaded = (login: Login, credentialsFrom: string): Found => ({
  credentials: { state: "loaded", login: new Hidden(login) },
  credentialsFrom,
});

async function readConfig(file: string): Promise<DockerConfig | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new SourceError("Unusable", `${file} cannot be read (${code})`, { cause: error });
  }
  try {
    return (JSON.parse(text) as DockerConfig | null) ?? {};
  } catch {
    // the cause would quote what may be a password
    throw new SourceError("Unusable", `${file} is not JSON`);
  }
}

function helperFor(config: DockerConfig | undefined, url: URL): string | undefined {
  const named = loginNames(url).map((name) => config?.credHelpers?.[name]);
  const helper = [...named, config?.credsStore].find((name) => typeof name === "string" && name !== "");
  // It becomes the name of a program.
  return typeof helper === "string" && /^[\w.-]+$/.test(helper) ? helper : undefined;
}

/** Docker's credential helper protocol: the address on stdin, JSON on stdout; exit code 1 where it has none. */
async function askHelper(helper: string, url: URL): Promise<Login | undefined> {
  const address = isDockerHub(url) ? "https://index.docker.io/v1/" : url.host;
  const running = promisify(execFile)(`docker-credential-${helper}`, ["get"], { timeout: 30_000 });
  running.child.stdin?.on("error", () => {}); // it may not be there
  running.child.stdin?.end(address);
  try {
    const { stdout } = await running;
    const { Username, Secret } = JSON.parse(stdout) as { Username?: unknown; Secret?: unknown };
    if (typeof Username !== "string" || typeof Secret !== "string") return undefined;
    return Username === "<token>" ? { username: Username, password: "", identityToken: Secret } : { username: Username, password: Secret };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new SourceError("Unusable", `docker's configuration keeps the login with docker-credential-${helper}, which is not on PATH`);
    return undefined;
  }
}
