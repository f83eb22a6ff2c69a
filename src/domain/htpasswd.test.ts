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

test("costs, and whose are low", () => {
  const text = ["strong:12", "weak:05", "least:10", "weaker:04"].map((user) => user.replace(/(\d\d)/, (cost) => hash.replace("04", cost)));
  const { costs, weak } = parseHtpasswd(text.join("\n"));
  expect(costs).toEqual([4, 5, 10, 12]);
  expect(weak).toEqual(["weak", "weaker"]);
});
