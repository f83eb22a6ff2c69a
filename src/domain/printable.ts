// Texts of strangers (versions, documents, names) on their way to a terminal, a log or a database.

/** At most `length` characters, without control characters (escape sequences, NUL) and halves of surrogate pairs, which stand as U+FFFD. */
export function printable(text: string, length: number): string {
  const cut = text.length > length ? `${text.slice(0, length - 1)}…` : text;
  return cut.toWellFormed().replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/g, "\u{fffd}");
}
