import { expect, test } from "vitest";

import { ClientError } from "../client/errors.ts";
import { SourceError } from "./import-source.ts";
import { Patience } from "./patience.ts";

const short = { attempts: 3, firstPause: 1, longestPause: 2 };

async function tried(failure: (attempt: number) => Error | undefined, options = {}): Promise<{ attempts: number; error: unknown }> {
  let attempts = 0;
  const error = await new Patience({ ...short, ...options })
    .with(async (attempt) => {
      attempts = attempt;
      const thrown = failure(attempt);
      if (thrown !== undefined) throw thrown;
    })
    .catch((thrown: unknown) => thrown);
  return { attempts, error };
}

test("what passes is tried again, and ends with the last failure", async () => {
  const failing = new SourceError("Failing", "500");
  const waits: string[] = [];
  const onWait = (_: number, reason: string) => waits.push(reason);
  expect(await tried((attempt) => (attempt < 3 ? failing : undefined), { onWait })).toEqual({ attempts: 3, error: undefined });
  // Nobody wonders about an instant.
  expect(waits).toEqual([]);
  expect(await tried(() => failing)).toEqual({ attempts: 3, error: failing });
  expect((await tried(() => new ClientError("Failed", "no", { status: 503 }))).attempts).toBe(3);
  expect((await tried(() => new ClientError("Unreachable", "no"))).attempts).toBe(3);
});

test("what stays is not", async () => {
  for (const error of [new SourceError("Denied", "no"), new ClientError("Refused", "no", { status: 403 }), new Error("a bug")])
    expect(await tried(() => error)).toEqual({ attempts: 1, error });
});

test("a limit is waited for as long as it takes, and told", async () => {
  const waits: string[] = [];
  const limit = (attempt: number) => (attempt < 9 ? new ClientError("Failed", "slow down", { status: 429, retryAfter: 0.001 }) : undefined);
  expect((await tried(limit, { onWait: (_: number, reason: string) => waits.push(reason) })).attempts).toBe(9);
  expect(waits).toHaveLength(8);
  expect((await tried((attempt) => (attempt < 6 ? new SourceError("Busy", "429") : undefined))).attempts).toBe(6);
});

test("whoever ends the import waits no longer, and knew for what", async () => {
  const ended = new AbortController();
  const waits: string[] = [];
  const onWait = (_: number, reason: string) => {
    waits.push(reason);
    ended.abort();
  };
  const long = { attempts: 3, firstPause: 60_000, longestPause: 60_000, signal: ended.signal, onWait };
  expect(await tried(() => new SourceError("Unreachable", "no"), long)).toMatchObject({ attempts: 1, error: { name: "AbortError" } });
  expect(waits).toEqual(["no"]);
});
