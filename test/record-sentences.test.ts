// docs/design/record-tests.md names a test for every sentence of record.md from "One rule" on: no sentence is missing, and each test exists.

import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const page = read("docs/design/record-tests.md");

/** Cells of the rows of the table with this head. */
function table(head: string): string[][] {
  const rows = page.slice(page.indexOf(head)).split("\n\n")[0]?.split("\n").slice(2) ?? [];
  return rows.filter((row) => row.startsWith("| ")).map((row) => row.slice(2, -2).split(/(?<!\\) \| /));
}

/** A row of a table is one sentence; the lines of a paragraph or of a list's item belong together. */
function sentences(text: string): string[] {
  const blocks: string[] = [];
  let open = false;
  for (const line of text.split("\n").map((one) => one.trim())) {
    const row = line.startsWith("| ");
    if (line === "" || line.startsWith("#") || line.startsWith("|---") || line.startsWith("| case ")) open = false;
    else if (open && !row && !line.startsWith("* ")) blocks.push(`${blocks.pop() ?? ""} ${line}`);
    else {
      blocks.push(line);
      open = !row;
    }
  }
  return blocks.flatMap((block) =>
    block.startsWith("| ") ? [block.slice(2, -2).replaceAll(" | ", " · ")] : block.replace(/^\* /, "").split(/(?<=\.)\s+(?=[A-Z`(])/),
  );
}

test("every sentence is there, as it stands in record.md", () => {
  const record = read("docs/design/record.md");
  const written = table("| sentence |").map(([sentence = ""]) => sentence.replaceAll("\\|", "|"));
  expect(written).toEqual(sentences(record.slice(record.indexOf("## One rule"))));
});

test("every test is there", () => {
  const files = new Map(table("| short |").map(([short = "", file = ""]) => [short, read(file.replaceAll("`", ""))]));
  const named = table("| sentence |").flatMap(([, tests = ""]) => tests.split("<br>").filter((name) => !name.startsWith("(")));
  const missing = named.filter((name) => {
    const [short = "", ...rest] = name.split(": ");
    return files.get(short)?.includes(rest.join(": ")) !== true;
  });
  expect(missing).toEqual([]);
  expect(named.length).toBeGreaterThan(60);
});
