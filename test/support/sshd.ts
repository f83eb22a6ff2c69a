// An OpenSSH server on loopback with its own host key, which lets one key in: for repositories over ssh.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

import { answerTo } from "./eventually.ts";
import { program } from "./programs.ts";
import { tool } from "./tools.ts";

export interface Sshd {
  /** `ssh://user@127.0.0.1:port` */
  readonly url: string;
  /** A private key that it lets in, and one that it does not. */
  readonly identity: string;
  readonly stranger: string;
  /** Its host key as `known_hosts` has it, and one of another server. */
  readonly knownHosts: string;
  readonly otherHost: string;
  stop(): Promise<void>;
}

export async function startSshd(): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), "wharfinger-sshd-"));
  const at = (name: string) => join(folder, name);
  for (const name of ["host", "other", "identity", "stranger"]) {
    const { code, stderr } = await program("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", at(name)]);
    if (code !== 0) throw new Error(`ssh-keygen: ${stderr}`);
  }
  const port = await freePort();
  writeFileSync(
    at("config"),
    `ListenAddress 127.0.0.1
Port ${port}
HostKey ${at("host")}
AuthorizedKeysFile ${at("identity")}.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AcceptEnv GIT_PROTOCOL
PidFile none
LogLevel ERROR
`,
  );
  // Started by root it wants this folder, which a package's service would make.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const child = spawn(await tool("sshd"), ["-D", "-e", "-f", at("config")], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const read = (name: string) => readFileSync(at(name), "utf8");
  const hostLine = (name: string) => `[127.0.0.1]:${port} ${read(`${name}.pub`)}`;
  try {
    await answerTo(
      "sshd listens",
      async () => ((await program("ssh-keyscan", ["-p", String(port), "127.0.0.1"])).stdout.includes("ssh-ed25519") ? true : undefined),
      { context: () => said },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `ssh://${userInfo().username}@127.0.0.1:${port}`,
    identity: read("identity"),
    stranger: read("stranger"),
    knownHosts: hostLine("host"),
    otherHost: hostLine("other"),
    stop,
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
