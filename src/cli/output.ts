// Results on stdout, everything else on stderr. Colours only where a terminal watches and NO_COLOR is not set (styleText asks both).
//
// Here, and nowhere else, what others wrote (names, messages, answers of a server) becomes fit for a terminal: whoever names a repository must not
// write to the screen of who reads it, nor begin a line that looks like ours.

import { stripVTControlCharacters, styleText } from "node:util";

import { isKubectlPlugin } from "../config/program-name.ts";
import { adviceInCluster } from "../domain/advice.ts";
import { escapedControls, everyText, printableLine, printableLines } from "../domain/printable.ts";

export type OutputForm = "table" | "json" | "yaml";

/** Prints a result; `render` makes the form for people, of what it is given and nothing else: in that every text is printable. */
export async function printResult<T>(form: OutputForm, value: T, render: (value: T) => string): Promise<void> {
  if (form === "json") return write(escapedControls(JSON.stringify(value, null, 2)));
  if (form === "yaml") return write(escapedControls((await import("yaml")).stringify(value, { lineWidth: 0 }).trimEnd()));
  write(render(everyText(value, (text) => printableLine(asCalled(text)))));
}

function write(text: string): void {
  if (text !== "") process.stdout.write(`${text}\n`);
}

/** Text that is the result, for programs: as it is, but for what would write to a terminal. */
export function print(text: string): void {
  write(escapedControls(text.trimEnd()));
}

/** One line that is a result by itself: that something is ready, and where. */
export function announce(text: string): void {
  write(printableLine(text));
}

/** Progress, summaries, warnings: one line. */
export function note(text: string): void {
  process.stderr.write(`${printableLine(asCalled(text))}\n`);
}

/** Why it came to nothing, in as many lines as it needs. */
export function noteFailure(text: string): void {
  process.stderr.write(`${printableLines(asCalled(text))}\n`);
}

/** A line that the next one replaces, where somebody watches; nothing where stderr goes to a file. */
export function progressLine(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${printableLine(text)}`);
}

/** Columns as kubectl shows them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => width(row[column] ?? ""))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - width(cell))))
      .join("   ")
      .trimEnd();
  return [line(head), ...rows.map(line)].join("\n");
}

/** Answers of a server name commands as they are called beside it. */
const asCalled = (text: string) => (isKubectlPlugin() ? adviceInCluster(text) : text);

const width = (text: string) => stripVTControlCharacters(text).length;

export const good = (text: string) => styleText("green", text, { stream: process.stdout });
export const bad = (text: string) => styleText("red", text, { stream: process.stdout });
export const faint = (text: string) => styleText("dim", text, { stream: process.stdout });
