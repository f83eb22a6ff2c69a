// Text as one word of a command that a person copies into a shell.

/** As it is where no shell would change it, else in single quotes. */
export function shellWord(text: string): string {
  return /^[-\w./:@%+=,]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
