import { expect, test } from "vitest";

import { parseHtpasswd } from "./htpasswd.ts";
import { readPasswordHash } from "./password-hash.ts";

const hash = `$2b$04$${"x".repeat(53)}`;

test("htpasswd lines", () => {
  const costly = hash.replace("$04$", "$31$");
  const { users, problems } = parseHtpasswd(`# people\n\nci:${hash}\r\nci:${hash}\nnone\n:${hash}\nplain:secret\ncostly:${costly}\n`);
  expect([...users.keys()]).toEqual(["ci"]);
  expect(problems.map(({ line, reason }) => `${line} ${reason}`)).toEqual([
    "4 the name is there twice; the first line counts",
    "5 it is not name:hash",
    "6 it is not name:hash",
    "7 the hash is neither bcrypt nor argon2id; make it with htpasswd -B",
    "8 the cost of the hash is above 16",
  ]);
});

test("hashes that cost as much as the users', and whose are cheap to guess against", () => {
  const text = ["strong:12", "weak:05", "least:10", "weaker:04"].map((user) => user.replace(/(\d\d)/, (cost) => hash.replace("04", cost)));
  const small = "$argon2id$v=19$m=4096,t=3,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
  const { decoys, weak } = parseHtpasswd([...text, `small:${small}`, `large:${small.replace("m=4096", "m=65536")}`].join("\n"));
  const begins = ["$2b$04$", "$2b$05$", "$argon2id$v=19$m=4096,t=3,p=1$", "$2b$10$", "$2b$12$", "$argon2id$v=19$m=65536,t=3,p=1$"];
  expect(decoys.map((decoy, index) => decoy.startsWith(begins[index]!))).toEqual(begins.map(() => true));
  expect(decoys.map((decoy) => typeof readPasswordHash(decoy))).toEqual(begins.map(() => "object"));
  expect(weak.map(({ name, advice }) => `${name}: ${advice.split(" ")[0]}`)).toEqual([
    "weak: htpasswd",
    "weaker: htpasswd",
    "small: argon2",
  ]);
});

test.each([
  ["m=4096,t=3,p=1", undefined],
  ["m=65536,t=4,p=16", undefined],
  ["m=65537,t=1,p=1", "the hash has m=65537: a check may take 65536 KiB of memory"],
  ["m=999999999,t=1,p=1", "the hash has m=999999999: a check may take 65536 KiB of memory"],
  ["m=65536,t=5,p=1", "the hash has m=65536,t=5: both multiplied may be 262144 at most"],
  ["m=8,t=999999999,p=1", "the hash has m=8,t=999999999: both multiplied may be 262144 at most"],
  ["m=65536,t=0,p=1", "the hash has m=65536,t=0: both multiplied may be 262144 at most"],
  ["m=7,t=1,p=1", "the hash has m=7, and needs at least 8 for each of p"],
  ["m=65536,t=1,p=0", "the hash has p=0, and may have 1 to 16"],
  ["m=65536,t=1,p=17", "the hash has p=17, and may have 1 to 16"],
  ["t=1,m=4096,p=1", "the hash is not argon2id of version 19 with m, t and p; make it with argon2 -id -e"],
])("argon2id with %s", (parameters, reason) => {
  const read = readPasswordHash(`$argon2id$v=19$${parameters}$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A`);
  expect(typeof read === "string" ? read : undefined).toBe(reason);
});

test.each(["argon2i$v=19", "argon2d$v=19", "argon2id$v=16", "argon2id"])("%s is none of ours", (kind) => {
  const read = readPasswordHash(`$${kind}$m=4096,t=3,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A`);
  expect(read).toContain("not argon2id of version 19");
});
