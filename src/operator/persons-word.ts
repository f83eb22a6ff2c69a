// What only a person decides about the record, and how the person says it.

export type PersonsDecision = "accept-revision" | "confirm-removal";

/** The way to say it, as the end of a message: a command, an annotation. */
export type HowToSay = (decision: PersonsDecision, commit: string) => string;

/** By the command line, beside a process whose data folder is where commands look for it. */
export const byCommand: HowToSay = (decision, commit) => `npx wharfinger record ${decision} ${commit}`;
