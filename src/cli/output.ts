// Results on stdout, everything else on stderr. Colours only where a terminal watches and NO_COLOR is not set (styleText asks both).

import { stripVTControlCharacters, styleText } from "node:util";

export type OutputForm = "table" | "json" | "yaml";

/** Prints a result; `render` makes the form for people. */
export async function printResult<T>(form: OutputForm, value: T, render: (value: T) => string): Promise<void> {
  if (form === "json") return write(JSON.stringify(value, null, 2));
  if (form === "yaml") return write((await import("yaml")).stringify(value, { lineWidth: 0 }).trimEnd());
  write(render(value));
}

function write(text: string): void {
  if (text !== "") process.stdout.write(`${text}\n`);
}

/** Progress, summaries, warnings. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A line that the next one replaces, where somebody watches; nothing where stderr goes to a file. */
export function progressLine(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`);
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

const width = (text: string) => stripVTControlCharacters(text).length;

export const good = (text: string) => styleText("green", text, { stream: process.stdout });
export const bad = (text: string) => styleText("red", text, { stream: process.stdout });
export const faint = (text: string) => styleText("dim", text, { stream: process.stdout });
