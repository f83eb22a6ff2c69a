export interface Part {
  /** As `--only` names it. */
  readonly part: string;
  readonly result: "held" | "BROKEN" | "for comparison";
  readonly did: string;
  readonly seen: string;
  readonly counted: unknown;
}

/** Markdown. */
export function resultTable(parts: readonly Part[]): string {
  const rows = parts.map(({ part, result, did, seen }) => `| ${did} | ${seen} | ${result} | \`npm run test:chaos -- --only ${part}\` |`);
  return ["| what was done | what was seen | | command |", "|---|---|---|---|", ...rows, ""].join("\n");
}
