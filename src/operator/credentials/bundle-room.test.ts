// Who has room when there is not enough for all. What becomes of it: credentials-bundle.test.ts.

import { expect, test } from "vitest";

import { giveRoom, mostBytes, type Demand, type Since } from "./bundle-room.ts";

const kib = 1024;
const demand = (id: string, size: number, since: Since = "new"): Demand => {
  const [namespace = "", name = ""] = id.split("/");
  return { namespace, name, bytes: size * kib, since };
};
const several = (namespace: string, count: number, size: number, since: Since = "new") =>
  Array.from({ length: count }, (_, index) => demand(`${namespace}/${String(index).padStart(3, "0")}`, size, since));
function room(demands: readonly Demand[], tenants: readonly string[] = []) {
  const { fit, left, sure } = giveRoom(demands, { users: [{ namespace: "u", name: "users" }], administrators: "home", tenants });
  const sum = (of: readonly Demand[]) => of.reduce((total, { bytes }) => total + bytes, 0);
  expect([...fit, ...left].map(({ namespace, name }) => `${namespace}/${name}`).sort()).toEqual(
    demands.map(({ namespace, name }) => `${namespace}/${name}`).sort(),
  );
  expect(sum(fit)).toBeLessThanOrEqual(mostBytes);
  const has = (namespace: string) => sum(fit.filter((one) => one.namespace === namespace)) / kib;
  return { has, left: left.map(({ namespace, name }) => `${namespace}/${name}`), sure: sure / kib };
}

test("the users' Secret is first, also before the administrators who were there, and these are before all tenants", () => {
  const tenants = several("t", 30, 30, "before");
  const { has } = room([...tenants, demand("home/new", 64), demand("home/old", 20, "before"), demand("u/users", 300)]);
  expect([has("u"), has("home"), has("t")]).toEqual([300, 84, 510]);
  expect(room([...several("home", 2, 450, "before"), demand("u/users", 10)]).left).toEqual(["home/001"]);
});

test("tenants that come together have the same, but for the last one, and nobody the part that is kept for another", () => {
  const { has, sure } = room([...several("one", 100, 10), ...several("two", 100, 10), ...several("three", 1, 10)]);
  expect([has("one"), has("two"), has("three"), sure]).toEqual([380, 370, 10, 150]);
});

test("a newcomer of another namespace pushes nobody out who is there, however much that one has", () => {
  const there = several("one", 60, 10, "before");
  const { has, left } = room([...there, ...several("two", 30, 20)], ["one", "two"]);
  expect([has("one"), has("two")]).toEqual([600, 300]);
  expect(left.every((id) => id.startsWith("two/"))).toBe(true);
});

test("who first has all that is free leaves each other tenant its part, in which that one comes and grows", () => {
  const tenants = ["hog", "two", "three"];
  const first = room(several("hog", 900, 1), tenants);
  expect([first.has("hog"), first.sure]).toEqual([600, 150]);
  const hog = several("hog", 600, 1, "before");
  expect(room([...hog, ...several("two", 2, 75), demand("three/grown", 150, "grown")], tenants).left).toEqual([]);
  expect(room([...hog, demand("two/new", 151)], tenants).left).toEqual(["two/new"]);
});

test("where administrators take what tenants had, who has most gives most", () => {
  const { has } = room([demand("home/new", 500), ...several("one", 50, 10, "before"), ...several("two", 10, 10, "before")]);
  expect([has("home"), has("one"), has("two")]).toEqual([500, 300, 100]);
});

test("who grew comes before who is new, and a small one fits where a large one does not", () => {
  const there = [...several("one", 85, 10, "before")];
  expect(room([...there, demand("one/a", 45), demand("one/b", 45, "grown"), demand("one/c", 5)]).left).toEqual(["one/a"]);
});
