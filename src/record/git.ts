// The git program as a child process: no shell, no configuration but ours, no hooks, no prompts (design: record, "When Git is not well").

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

import { RecordError } from "./errors.ts";

/** Name and address of whoever a commit is by. */
export interface Author {
  readonly name: string;
  readonly email: string;
}

export interface GitCall {
  readonly input?: string | Uint8Array;
  /** Most bytes of output that are read. */
  readonly maxBytes?: number;
  /** Milliseconds; then the child is killed. */
  readonly timeout?: number;
  /** `-c` entries over ours. Nothing secret: everybody on a machine may read a process's arguments. */
  readonly configuration?: readonly string[];
  /** More of its environment: identity and date of a commit. */
  readonly env?: Readonly<Record<string, string>>;
  /** For a call that leaves this machine; without it git has no transport at all. */
  readonly reach?: Reach;
  /** Aborted: the child is ended, as when its time is over. */
  readonly signal?: AbortSignal;
}

/** The one way by which a call may leave this machine. */
export interface Reach {
  readonly protocol: "https" | "ssh";
  readonly configuration: readonly string[];
  /** Credentials, where git takes them from its environment. */
  readonly env: Readonly<Record<string, string>>;
}

export interface GitAnswer {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** It was ended because its time was over. */
  readonly timedOut: boolean;
}

const defaultMaxBytes = 512 * 1024 * 1024;
const defaultTimeout = 120_000;
/** Milliseconds for a child that was told to end, to take away its temporary files. */
const lastWords = 2_000;

/** Overrides of the repository's own configuration: whatever it says, nothing of it runs a program or changes bytes. */
const configuration: readonly string[] = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.attributesFile=/dev/null",
  "core.excludesFile=/dev/null",
  "core.symlinks=false",
  "core.autocrlf=false",
  "core.quotePath=false",
  // A commit that was acknowledged survives a power failure: git's default leaves loose objects to the kernel.
  "core.fsync=objects,reference,index",
  "commit.gpgSign=false",
  "log.showSignature=false",
  "log.showRoot=true",
  "i18n.logOutputEncoding=UTF-8",
  "diff.external=",
  "submodule.recurse=false",
  "protocol.allow=never",
  "gc.autoDetach=false",
];

export class Git {
  readonly #program: string;
  /** Absolute. */
  readonly directory: string;
  readonly workTree: string | undefined;

  /** `directory`: the `.git` folder, given and never searched for: a record inside somebody's checkout must not become that checkout. */
  constructor(options: { program: string; directory: string; workTree?: string }) {
    this.#program = options.program;
    this.directory = options.directory;
    this.workTree = options.workTree;
  }

  /** The same repository with a work tree. */
  at(workTree: string): Git {
    return new Git({ program: this.#program, directory: this.directory, workTree });
  }

  /**
   * Starts git for somebody who reads and writes its streams, and who hears what became of it: the events of a child process. `signal` ends it, and
   * git ends what it has started. It is told of no repository. Rejects with RecordError GitFailed when there is no process.
   */
  start(
    args: readonly string[],
    call: Required<Pick<GitCall, "configuration" | "env" | "signal">>,
  ): Promise<ChildProcessWithoutNullStreams> {
    const argv = [...[...configuration, ...call.configuration].flatMap((entry) => ["-c", entry]), ...args];
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown) => reject(notStarted(this.#program, cause));
      try {
        const child = spawn(this.#program, argv, { env: { ...environment(), ...call.env }, stdio: ["pipe", "pipe", "pipe"] });
        child.on("error", fail);
        child.once("spawn", () => {
          const end = () => void child.kill("SIGTERM");
          if (call.signal.aborted) end();
          call.signal.addEventListener("abort", end, { once: true });
          child.once("close", () => call.signal.removeEventListener("abort", end));
          resolve(child);
        });
      } catch (cause) {
        fail(cause);
      }
    });
  }

  /** Rejects with RecordError GitFailed when git ends with anything but 0. Resolves with its output. */
  async run(args: readonly string[], call: GitCall = {}): Promise<Buffer> {
    const answer = await this.try(args, call);
    if (answer.code === 0) return answer.stdout;
    throw new RecordError("GitFailed", `git ${args[0] ?? ""}: ${answer.stderr.trim() || `exit code ${answer.code}`}`);
  }

  /** One line of output, without its end. */
  async line(args: readonly string[], call: GitCall = {}): Promise<string> {
    return (await this.run(args, call)).toString("utf8").trimEnd();
  }

  /** Resolves with the exit code, for commands whose code is an answer. */
  async try(args: readonly string[], call: GitCall = {}): Promise<GitAnswer> {
    const argv = [
      `--git-dir=${this.directory}`,
      ...(this.workTree === undefined ? [] : [`--work-tree=${this.workTree}`]),
      "-c",
      `safe.directory=${this.workTree ?? this.directory}`,
      ...[...configuration, ...(call.reach?.configuration ?? []), ...(call.configuration ?? [])].flatMap((entry) => ["-c", entry]),
      ...args,
    ];
    const reach = call.reach === undefined ? {} : { ...call.reach.env, GIT_ALLOW_PROTOCOL: call.reach.protocol };
    return execute(this.#program, argv, { ...environment(), ...call.env, ...reach }, call);
  }
}

/**
 * Finds git on the PATH and checks that it is new enough. The path is absolute, so that a later change of directory or PATH changes nothing.
 * Rejects with RecordError GitMissing.
 */
export async function findGit(path: string = process.env["PATH"] ?? ""): Promise<string> {
  for (const folder of path.split(delimiter).filter((entry) => entry.startsWith("/"))) {
    const program = join(folder, "git");
    if (!(await isExecutable(program))) continue;
    await refuseOld(program);
    return program;
  }
  throw new RecordError(
    "GitMissing",
    "There is no git on the PATH. The record (what this registry serves, and its history) is a Git repository: install git 2.31 or newer (apt install git, dnf install git, brew install git) and start again.",
  );
}

async function refuseOld(program: string): Promise<void> {
  const { stdout } = await execute(program, ["version"], environment());
  const [, major = "0", minor = "0"] = /git version (\d+)\.(\d+)/.exec(stdout.toString("utf8")) ?? [];
  if (Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 31)) return;
  throw new RecordError("GitMissing", `${program} is version ${major}.${minor}; the record needs git 2.31 or newer.`);
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Nothing of the caller's GIT_* variables reaches git: GIT_DIR or GIT_INDEX_FILE would lead it elsewhere. */
function environment(): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: "/nonexistent",
    LC_ALL: "C",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_SYSTEM: "/dev/null",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    GIT_OPTIONAL_LOCKS: "0",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_ALLOW_PROTOCOL: "",
    GIT_DEFAULT_REF_FORMAT: "files",
  };
}

function execute(program: string, argv: readonly string[], env: Record<string, string>, call: GitCall = {}): Promise<GitAnswer> {
  // A transport is a child of git's, which outlives git and holds our pipes: both end together, as one group.
  const group = call.reach !== undefined;
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => reject(notStarted(program, cause));
    let child: ChildProcessWithoutNullStreams;
    try {
      child = spawn(program, [...argv], {
        env,
        detached: group,
        stdio: ["pipe", "pipe", "pipe"],
      });
    } catch (cause) {
      fail(cause); // ENOMEM and what else Node does not tell as an event
      return;
    }
    // Before all else: nobody listening, the event would end this process.
    child.on("error", fail);
    // Without a file descriptor to spare there is a child, but nothing to read from or to write to; the event tells why.
    if (!hasStreams(child)) return;
    // Not spawn's own: that one runs on after a child that never started.
    let timedOut = false;
    let unheard: NodeJS.Timeout | undefined;
    const enough = () => {
      end(child, "SIGTERM", group);
      unheard ??= setTimeout(() => end(child, "SIGKILL", group), lastWords);
    };
    const tooLong = setTimeout(() => {
      timedOut = true;
      enough();
    }, call.timeout ?? defaultTimeout);
    const over = () => {
      clearTimeout(tooLong);
      clearTimeout(unheard);
      call.signal?.removeEventListener("abort", enough);
    };
    call.signal?.addEventListener("abort", enough, { once: true });
    child.on("error", over);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let size = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > (call.maxBytes ?? defaultMaxBytes)) end(child, "SIGKILL", group);
      else stdout.push(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => stderr.length < 64 && stderr.push(chunk));
    // git that ends early closes its input; its exit code says why.
    child.stdin.on("error", () => undefined);
    child.on("close", (code) => {
      over();
      resolve({ code: code ?? 128, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString("utf8"), timedOut });
    });
    child.stdin.end(call.input);
  });
}

function end(child: ChildProcessWithoutNullStreams, signal: "SIGTERM" | "SIGKILL", group: boolean): void {
  if (!group || child.pid === undefined) {
    child.kill(signal);
    return;
  }
  try {
    process.kill(-child.pid, signal);
  } catch {
    // the last of the group has ended
  }
}

function hasStreams({ stdin, stdout, stderr }: Partial<ChildProcessWithoutNullStreams>): boolean {
  return stdin !== undefined && stdout !== undefined && stderr !== undefined;
}

/** What a machine at its limits says to a new process. */
const outOf: Readonly<Record<string, string>> = {
  EMFILE: "this process has no file descriptors left; raise its limit (ulimit -n)",
  ENFILE: "this machine has no file descriptors left",
  EAGAIN: "no more processes may be started; raise the limit (ulimit -u, or the container's pids limit)",
  ENOMEM: "this machine has no memory left for another process",
};

function notStarted(program: string, cause: unknown): RecordError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  return new RecordError("GitFailed", `${program} could not be started: ${outOf[code] ?? message}`, { cause });
}
