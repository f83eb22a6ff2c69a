// A command that a person runs in the record.

import { shellWord } from "../../config/shell-word.ts";

/** `git -C data/record log`; `record`: its folder, undefined where it is on another machine. */
export function gitInRecord(record: string | undefined, words: string): string {
  return record === undefined ? `git ${words}, in the record of that registry` : `git -C ${shellWord(record)} ${words}`;
}
