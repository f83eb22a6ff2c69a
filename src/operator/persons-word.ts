// What only a person decides about the record, and how the person says it.

export type PersonsDecision = "accept-revision" | "confirm-removal";

/** The way to say it, as the end of a message: a command, an annotation. `word`: a commit; of a removal also `<commit>/<namespace>`. */
export type HowToSay = (decision: PersonsDecision, word: string) => string;

/** By the command line, beside a process whose data folder is where commands look for it. */
export const byCommand: HowToSay = (decision, word) => `npx wharfinger record ${decision} ${word}`;
