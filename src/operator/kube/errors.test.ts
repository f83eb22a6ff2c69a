import { expect, test } from "vitest";

import { errorOf } from "./errors.ts";

test("what is no Status is said in one line, as it came", () => {
  expect(errorOf(404, "404 page not found\n").message).toBe("HTTP 404: 404 page not found");
  expect(errorOf(502, "\n").message).toBe("HTTP 502");
  expect(errorOf(403, JSON.stringify({ code: 403, message: "pods is forbidden" })).message).toBe("pods is forbidden");
});
