// WWW-Authenticate as registries really send it (RFC 9110, 11.6.1, and what is seen in the wild; samples in the test).

export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case; a name that comes twice keeps its first value. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** More than any real header has; what is longer is cut off unread. */
const maxLength = 8 * 1024;

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const quoted = /"((?:[^"\\]|\\[\s\S])*)"/y;
const loose = /[^\s,"]+/y;

/** All challenges of one or several headers, in order. Never throws: what cannot be read is left out. */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const lines = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return lines.flatMap((line) => new ChallengeReader(line.slice(0, maxLength)).read());
}

class ChallengeReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Challenge[] {
    const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
    for (;;) {
      this.#take(/[\s,;]+/y);
      const word = this.#take(token);
      if (word === undefined) {
        if (this.#at >= this.#text.length) return challenges;
        this.#at++; // a stray character: go on behind it
        continue;
      }
      const value = this.#value();
      const current = challenges.at(-1);
      if (value === undefined) challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) as Record<string, string> });
      else if (current !== undefined) current.parameters[word.toLowerCase()] ??= value;
    }
  }

  /** `=value` behind a name; undefined when the word was a scheme (or the token68 of one, which nobody here needs). */
  #value(): string | undefined {
    const start = this.#at;
    if (this.#take(/\s*=\s*/y) === undefined) return undefined;
    const text = this.#take(quoted);
    if (text !== undefined) return text.slice(1, -1).replaceAll(/\\([\s\S])/g, "$1");
    const bare = this.#take(loose);
    if (bare !== undefined) return bare;
    this.#at = start + 1;
    return "";
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match[0];
  }
}
