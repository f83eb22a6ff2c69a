import { expect, test } from "vitest";

import { openWhole, type Closing } from "./closing.ts";

const part = (closing: Closing, name: string, log: string[], failure?: Error) =>
  closing.add(async () => {
    log.push(name);
    if (failure !== undefined) throw failure;
  });

test("parts are closed in the opposite order, once, whoever asks", async () => {
  const log: string[] = [];
  const closing = await openWhole(async (closing) => {
    for (const name of ["folder", "database", "server"]) part(closing, name, log);
    return closing;
  });
  expect([closing.begun, log]).toEqual([false, []]);
  await Promise.all([closing.run(), closing.run()]);
  expect([closing.begun, log]).toEqual([true, ["server", "database", "folder"]]);
});

test("a part that fails leaves none of the others open, and is told", async () => {
  const log: string[] = [];
  const failure = new Error("the server does not stop");
  const closing = await openWhole(async (closing) => {
    part(closing, "folder", log);
    part(closing, "server", log, failure);
    return closing;
  });
  await expect(closing.run()).rejects.toMatchObject({ errors: [failure] });
  expect(log).toEqual(["server", "folder"]);
});

test("what cannot be opened whole is closed, and the reason is why it could not, not what went wrong then", async () => {
  const log: string[] = [];
  const opening = openWhole(async (closing) => {
    part(closing, "folder", log);
    part(closing, "database", log, new Error("the database does not stop"));
    throw new Error("the address is taken");
  });
  await expect(opening).rejects.toThrow("the address is taken");
  expect(log).toEqual(["database", "folder"]);
});
