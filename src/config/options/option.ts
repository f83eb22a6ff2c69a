// What a flag of a subcommand and its environment twin are: the command line, its help and the reference are made from the tables beside this file.

export interface OptionDefinition {
  /** As commander writes it: `-o, --output <form>`. */
  readonly flags: string;
  readonly variable: string;
  readonly description: string;
  readonly fallback?: string;
  /** In words, where the default is found rather than fixed. */
  readonly fallbackDescription?: string;
  readonly choices?: readonly string[];
  /** A switch: given alone it means true, and its twin says true or false. So may what follows the flag, where `flags` says so. */
  readonly boolean?: true;
}

/** The twin of a switch whose flag takes no value (what stands behind it is an argument of the command). Throws an Error as `parseBoolean` does. */
export function switchFromEnvironment({ variable }: OptionDefinition, environment: NodeJS.ProcessEnv = process.env): boolean {
  const text = environment[variable] ?? "";
  return text !== "" && parseBoolean(text);
}

/** Throws an Error for anything but the ways to say yes or no. */
export function parseBoolean(text: string): boolean {
  if (["true", "1", "yes"].includes(text.toLowerCase())) return true;
  if (["false", "0", "no"].includes(text.toLowerCase())) return false;
  throw new Error("Write true or false.");
}
