// What the log and the events of the Pod say while nothing can be published.

import { pino } from "pino";
import { expect, test } from "vitest";

import { ClientError } from "../client/errors.ts";
import { describeError } from "../observability/logger.ts";
import { RecordError } from "../record/errors.ts";
import { Narrator } from "./narrator.ts";

test("a registry that is away is one line in words, another reason another one, and so is that it is over; a bug has its stack", () => {
  const log: { level: number; msg: string; err?: { stack: string } }[] = [];
  const events: string[] = [];
  const narrator = new Narrator({
    logger: pino(
      { serializers: { err: describeError } },
      { write: (line: string) => void log.push(JSON.parse(line) as (typeof log)[number]) },
    ),
    announce: ({ type, reason }) => void events.push(`${type} ${reason}`),
  });
  const away = () => new ClientError("Unreachable", "No answer from the registry at http://registry:5001: connect ECONNREFUSED");
  narrator.published();
  for (let round = 0; round < 5; round++) narrator.notPublished(away());
  for (let round = 0; round < 5; round++) narrator.notPublished(new ClientError("Failed", "The registry is starting.", { status: 503 }));
  narrator.notPublished(new RecordError("GitFailed", "git ended with 128"));
  narrator.published();
  narrator.published();
  narrator.notPublished(new TypeError("a mistake"));
  expect(log.map(({ level, msg, err }) => `${level} ${msg}${err === undefined ? "" : ` ${err.stack.split("\n", 1)[0]}`}`)).toEqual([
    "50 The record is not published: No answer from the registry at http://registry:5001: connect ECONNREFUSED. It is tried again.",
    "50 The record is not published: The registry is starting. It is tried again.",
    "50 The record: git ended with 128. It is tried again.",
    "30 The record is published again.",
    "50 a round of the control plane failed; it is tried again TypeError: a mistake",
  ]);
  expect(events).toEqual(["Warning NotPublished", "Warning NotPublished", "Warning GitFailed", "Normal Published"]);
});
