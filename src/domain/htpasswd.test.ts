import { expect, test } from "vitest";

import { parseHtpasswd } from "./htpasswd.ts";

const hash = `$2b$04$${"x".repeat(53)}`;

test("htpasswd lines", () => {
  const costly = hash.replace("$04$", "$31$");
  const { users, problems } = parseHtpasswd(`# people\n\nci:${hash}\r\nci:${hash}\nnone\n:${hash}\nplain:secret\ncostly:${costly}\n`);
  expect([...users.keys()]).toEqual(["ci"]);
  expect(problems.map(({ line, reason }) => `${line} ${reason}`)).toEqual([
    "4 the name is there twice; the first line counts",
    "5 it is not name:hash",
    "6 it is not name:hash",
    "7 the hash is not bcrypt; make it with htpasswd -B",
    "8 the cost of the hash is above 16",
  ]);
});
