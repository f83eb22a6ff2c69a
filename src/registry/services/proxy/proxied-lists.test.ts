import * as fc from "fast-check";
import { expect, test } from "vitest";

import { mergedPage } from "./proxied-lists.ts";

const tag = fc.stringMatching(/^[a-c]{1,2}$/);
const sorted = fc.uniqueArray(tag).map((tags) => tags.sort());

test("a page of two lists is the page of their union", () => {
  fc.assert(
    fc.property(sorted, sorted, fc.nat(8), fc.option(tag, { nil: undefined }), (first, second, limit, after) => {
      const behind = [...new Set([...first, ...second])].sort().filter((text) => after === undefined || text > after);
      expect(mergedPage(first, second, { limit, ...(after === undefined ? {} : { after }) })).toEqual({
        tags: behind.slice(0, limit),
        more: behind.length > limit,
      });
    }),
  );
});
