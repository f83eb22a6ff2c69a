import { expect, test } from "vitest";

import { ClientError } from "../client/errors.ts";
import { digestOf } from "../domain/digest.ts";
import { largeInTurn } from "./large-documents.ts";

const mebibyte = 1024 * 1024;
const digest = digestOf("a document");

/** One that gives nothing before it is told to. */
function heldSource(bytes: number) {
  const asked: { maxBytes: number; answer: () => void; fail: (error: Error) => void }[] = [];
  const source = largeInTurn({
    manifest: async () => undefined,
    referrers: async () => [],
    blob: async (_, __, { maxBytes }) => {
      if (bytes > maxBytes) throw new ClientError("TooLarge", "too large", { status: 413 });
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
      asked.push({ maxBytes, answer: () => resolve(Buffer.alloc(bytes)), fail: reject });
      return promise;
    },
  });
  const ask = (size: number) => source.blob("up/app", digest, { maxBytes: 32 * mebibyte, size });
  return { asked, ask };
}
const settled = () => new Promise((done) => setImmediate(done));

test("large documents come one after the other, also behind one that fails", async () => {
  const { asked, ask } = heldSource(2 * mebibyte);
  const answers = [ask(2 * mebibyte), ask(2 * mebibyte), ask(2 * mebibyte)];
  await settled();
  expect(asked).toHaveLength(1);
  asked[0]?.fail(new Error("broken"));
  await expect(answers[0]).rejects.toThrow("broken");
  await settled();
  expect(asked).toHaveLength(2);
  asked[1]?.answer();
  await expect(answers[1]).resolves.toHaveLength(2 * mebibyte);
  await settled();
  asked[2]?.answer();
  await expect(answers[2]).resolves.toHaveLength(2 * mebibyte);
});

test("one whose manifest says that it is small comes in turn, too", async () => {
  const { asked, ask } = heldSource(2 * mebibyte);
  const answers = [ask(700), ask(700)];
  await settled();
  expect(asked).toHaveLength(1);
  asked[0]?.answer();
  await expect(answers[0]).resolves.toHaveLength(2 * mebibyte);
  await settled();
  asked[1]?.answer();
  await expect(answers[1]).resolves.toHaveLength(2 * mebibyte);
});

test("small ones wait for nobody", async () => {
  const { asked, ask } = heldSource(700);
  const answers = [ask(2 * mebibyte), ask(700), ask(700)];
  await settled();
  expect(asked.map(({ maxBytes }) => maxBytes).toSorted((a, b) => a - b)).toEqual([mebibyte, mebibyte, 32 * mebibyte]);
  for (const { answer } of asked) answer();
  await expect(Promise.all(answers)).resolves.toHaveLength(3);
});
