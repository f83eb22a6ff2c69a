import * as fc from "fast-check";
import { expect, test } from "vitest";

import { GatheredBytes } from "./gathered-bytes.ts";

test("chunks of any size come out as they went in", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50_000, size: "max" }), { maxLength: 10 }), (chunks) => {
      const gathered = new GatheredBytes(1_000_000);
      for (const chunk of chunks) expect(gathered.add(chunk)).toBe(true);
      expect(gathered.bytes().equals(Buffer.concat(chunks))).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("a million single bytes take the memory of a million bytes, and the limit is exact", () => {
  const limit = 1_000_000;
  const gathered = new GatheredBytes(limit);
  const one = Buffer.from("x");
  for (let taken = 0; taken < limit; taken++) gathered.add(one);
  expect(gathered.capacity).toBe(limit);
  expect(gathered.add(one)).toBe(false);
  expect(gathered.bytes().length).toBe(limit);
});
