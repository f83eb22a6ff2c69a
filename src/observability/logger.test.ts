import { expect, test } from "vitest";

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
