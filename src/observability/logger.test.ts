import { expect, test } from "vitest";

import { program } from "../../test/support/programs.ts";
import { describeError } from "./logger.ts";

test("an error keeps what it says, its causes and its codes, and loses what hangs on it", () => {
  const error = Object.assign(new TypeError("no", { cause: new Error("because") }), { code: "57P01", client: { password: "hunter2" } });
  const described = describeError(error);
  expect(described).toEqual({
    type: "TypeError",
    message: "no: because",
    code: "57P01",
    stack: expect.stringMatching(/^TypeError: no[^]*caused by: Error: because/) as string,
  });
});

const stranger = "a\u001b]0;pwned\u0007\u009b2J";

interface Logging {
  readonly watched: boolean;
  readonly text?: string;
  readonly inCluster?: boolean;
}

/** What a process writes to stderr that logs a text, `stranger` by default, as a message, a field and a field's name. */
async function logged({ text = stranger, inCluster = false, ...options }: Logging): Promise<string> {
  const script = `
    process.stderr.isTTY = ${options.watched};
    const { createLogger } = await import(${JSON.stringify(new URL("./logger.ts", import.meta.url).href)});
    const text = ${JSON.stringify(text)};
    const logger = createLogger({ level: "info", inCluster: ${inCluster} });
    logger.info({ name: text, [text]: 1, err: new Error(text) }, text + "\\nsecond line");
    logger.flush();`;
  const { code, stderr } = await program(process.execPath, ["--input-type=module", "-e", script], { env: { NO_COLOR: "1" } });
  if (code !== 0) throw new Error(stderr);
  return stderr;
}

test("a terminal that watches obeys nobody's text, in messages, fields and stacks", async () => {
  const written = await logged({ watched: true });
  expect(written).toContain("a\u{fffd}]0;pwned\u{fffd}\u{fffd}2J\nsecond line");
  expect(written).toContain("    at ");
  expect(written).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});

test("a line of JSON holds what was said, escaped", async () => {
  const written = await logged({ watched: false });
  expect(JSON.parse(written)).toMatchObject({ name: stranger, [stranger]: 1, msg: `${stranger}\nsecond line` });
  expect(written).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});

test("in a cluster it names commands as somebody calls them there", async () => {
  const text = 'paused. If "that" is meant: `npx wharfinger gc resume`';
  for (const watched of [false, true]) {
    expect(await logged({ watched, text, inCluster: true })).toContain("`kubectl wharfinger gc resume`");
    expect(await logged({ watched, text })).toContain("`npx wharfinger gc resume`");
  }
});
