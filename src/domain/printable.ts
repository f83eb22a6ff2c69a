// Texts of strangers (versions, documents, names) on their way to a terminal, a log or a database. What a terminal would obey (escape sequences,
// in eight bits too), NUL, and halves of surrogate pairs stand as U+FFFD.

const stranger = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/g;

/** At most `length` characters. Line feeds stay. */
export function printable(text: string, length: number): string {
  const cut = text.length > length ? `${text.slice(0, length - 1)}…` : text;
  return cut.toWellFormed().replaceAll(stranger, "\u{fffd}");
}

/** All of it, in its own lines. */
export function printableLines(text: string): string {
  return text.replaceAll("\r\n", "\n").replaceAll("\t", " ").toWellFormed().replaceAll(stranger, "\u{fffd}");
}

/** All of it on one line: nobody's text begins a line of ours. */
export function printableLine(text: string): string {
  return printableLines(text.trim()).replaceAll(/\s*\n\s*/g, " ");
}

/** The same value with every text in it, names of fields too, made anew. Of lists and plain objects: what JSON can say. */
export function everyText<T>(value: T, make: (text: string) => string): T;
export function everyText(value: unknown, make: (text: string) => string): unknown {
  if (typeof value === "string") return make(value);
  if (Array.isArray(value)) return value.map((entry: unknown) => everyText(entry, make));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [make(name), everyText(entry, make)]));
}

/** JSON, or YAML that quotes them, which says the same without what a terminal obeys in eight bits. Those in seven are escaped by its grammar. */
export function escapedControls(document: string): string {
  return document.replaceAll(/[\u007f-\u009f]/g, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
