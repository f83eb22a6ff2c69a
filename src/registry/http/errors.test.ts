import { expect, test } from "vitest";

import { TagMoved } from "../services/push/point-tags.ts";
import { describeFailure } from "./errors.ts";

test.each([
  ["a deadlock", Object.assign(new Error("deadlock detected"), { code: "40P01" })],
  ["a serialization failure", Object.assign(new Error("could not serialize access"), { code: "40001" })],
  ["a tag that others keep moving", new TagMoved()],
])("%s that outlived its retries is for later, not the registry's failure", (_, error) => {
  expect(describeFailure(error)).toEqual({
    status: 503,
    headers: { "retry-after": "1" },
    body: {
      errors: [
        {
          code: "UNAVAILABLE",
          message: "Other requests write the same at this moment; this one gave way and changed nothing. Try again shortly.",
        },
      ],
    },
    unexpected: true,
  });
});

test.each([Object.assign(new Error("duplicate key"), { code: "23505" }), new Error("a bug"), undefined])("%s is a 500", (error) => {
  expect(describeFailure(error)).toMatchObject({ status: 500, body: { errors: [{ code: "UNKNOWN" }] }, unexpected: true });
});
