// What git and a remote say when they fail, as an error of ours. git speaks English here (LC_ALL=C), and says what matters in its last lines.

import { RecordError } from "./errors.ts";
import type { GitAnswer } from "./git.ts";
import { mistakeIn, type RemoteLogin } from "./remote-mistakes.ts";

/** Most characters of somebody else's words in a condition or a log line. */
const longest = 400;

/** Why a call to the remote did not succeed. `what`: "fetch from", "push to". */
export function remoteFailure(what: string, login: RemoteLogin, { timeout, answer }: { timeout: number; answer: GitAnswer }): RecordError {
  const tried = `${what} ${login.url}`;
  if (answer.timedOut)
    return new RecordError("RemoteUnavailable", `${tried}: no answer within ${Math.round(timeout / 1000)} s; it is tried again`);
  const said = lastWords(answer.stderr) || `git ended with ${answer.code}`;
  const mistake = mistakeIn(said, login);
  if (mistake === undefined) return new RecordError("RemoteUnavailable", `${tried}: ${said}`);
  return new RecordError(mistake.code, `${tried}: ${mistake.advice}${mistake.quoted ? ` (git says: ${said})` : ""}`);
}

/** The remote took part in the push, and did not take it. `reason`: git's word for it. */
export function pushRefusal(url: string, reason: string, stderr: string): RecordError {
  const told = printable(
    stderr
      .split("\n")
      .filter((line) => line.startsWith("remote:"))
      .map((line) => line.slice("remote:".length).trim())
      .filter((line) => line !== "")
      .join("; "),
  );
  return new RecordError("PushRefused", `push to ${url}: refused (${printable(reason)})${told === "" ? "" : `: ${told}`}`);
}

export interface Refusal {
  /** moved: the branch is not where we thought; raced: somebody held it, or moved it, while we pushed; refused: the remote's own decision. */
  readonly kind: "moved" | "raced" | "refused";
  readonly reason: string;
}

const races = /cannot lock ref|failed to update ref|incorrect old value|reference already exists/;

/** The line of `git push --porcelain` that says why the branch did not move; undefined when the push did not come so far. */
export function readRefusal(output: string): Refusal | undefined {
  const line = output.split("\n").find((text) => text.startsWith("!\t"));
  if (line === undefined) return undefined;
  const { who, reason = line.slice(2) } = /\t\[(?<who>[a-z ]+)\] \((?<reason>.*)\)$/.exec(line)?.groups ?? {};
  if (who === "rejected") return { kind: "moved", reason };
  return { kind: races.test(reason) ? "raced" : "refused", reason };
}

/** Hints aside, the lines that say what went wrong. */
function lastWords(stderr: string): string {
  const lines = stderr
    .split("\n")
    .map((line) => line.trim())
    .filter(
      (line) =>
        line !== "" && !/^(hint:|Please make sure|and the repository exists|(?:fatal: )?Could not read from remote repository)/.test(line),
    );
  return printable(lines.slice(-3).join("; "));
}

/** A server's words end up on terminals: no control characters, and not too many of them. */
function printable(text: string): string {
  const plain = text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ").trim();
  return plain.length <= longest ? plain : `${plain.slice(0, longest)}…`;
}
