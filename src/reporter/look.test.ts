// What the API server may answer in the middle of a look; test/kubernetes/reporter.test.ts has the real one.

import { expect, test } from "vitest";

import { ClusterError, workloadKinds, type Cluster, type ImagePage, type WorkloadKind } from "./cluster.ts";
import { lookAt } from "./look.ts";

type Answer = (kind: WorkloadKind, namespace: string | undefined, next: string | undefined) => ImagePage;

const page = (image: string, next?: string): ImagePage => ({
  images: [image],
  resourceVersion: "7",
  ...(next === undefined ? {} : { next }),
});
const refuse = (status: number, message: string): never => {
  throw new ClusterError(status, message);
};
const look = (answer: Answer, namespaces: readonly string[] = []) => {
  const cluster: Cluster = {
    ownNamespace: "own",
    list: async (kind, { namespace, next }) => answer(kind, namespace, next),
    watchPods: () => Promise.reject(new Error("not asked")),
  };
  return lookAt(cluster, { namespaces, now: new Date(0) });
};

test("a look is every page of every kind", async () => {
  const found = await look((kind, _, next) => page(`${kind}${next ?? ""}`, next === undefined ? "2" : undefined));
  expect(found).toMatchObject({ scope: "Cluster", takenAt: new Date(0), pods: [{ resourceVersion: "7" }] });
  expect(found.problem).toBeUndefined();
  expect([...found.images].sort()).toEqual(workloadKinds.flatMap((kind) => [kind, `${kind}2`]).sort());
});

test("a refusal in the middle, also on the second page, makes it a part, and says of what; what was seen counts", async () => {
  const found = await look((kind, _, next) => {
    if (kind === "jobs" && next === "2") refuse(403, "jobs.batch is forbidden");
    if (kind === "cronjobs") refuse(500, "etcd is away");
    return page(kind, kind === "jobs" ? "2" : undefined);
  });
  expect(found).toMatchObject({ scope: "Cluster", problem: "jobs of the whole cluster: jobs.batch is forbidden; and 1 more" });
  expect(found.images).toContain("jobs");
  expect(found.images).toContain("replicasets");
});

test("who may read nothing of the whole cluster looks at the namespace of the credentials", async () => {
  const found = await look((kind, namespace) => (namespace === "own" ? page(kind) : refuse(403, "forbidden")));
  expect(found).toMatchObject({ scope: ["own"], pods: [{ namespace: "own", resourceVersion: "7" }] });
  expect(found.problem).toBeUndefined();
  expect(found.images.size).toBe(workloadKinds.length);
});

test("who may read one kind of the whole cluster has the whole cluster in view, and not all of it", async () => {
  const found = await look((kind, namespace) => (namespace === "own" || kind === "pods" ? page(kind) : refuse(403, "forbidden")));
  expect(found).toMatchObject({ scope: "Cluster", problem: expect.stringContaining("and 6 more") });
});

test("named namespaces are all looked at, and each must be readable", async () => {
  const whole = await look((kind, namespace) => page(`${namespace}/${kind}`), ["a", "b"]);
  expect(whole).toMatchObject({ scope: ["a", "b"], pods: [{ namespace: "a" }, { namespace: "b" }] });
  expect(whole.images.size).toBe(2 * workloadKinds.length);
  const part = await look((kind, namespace) => (namespace === "b" ? refuse(403, "forbidden") : page(kind)), ["a", "b"]);
  expect(part.problem).toContain("pods in namespace b: forbidden");
  expect(part.scope).toEqual(["a", "b"]);
});

test("a list that expires between two pages is begun again, not for ever", async () => {
  let begun = 0;
  const answer =
    (times: number): Answer =>
    (kind, _, next) => {
      if (kind !== "pods") return page(kind);
      if (next === undefined) begun++;
      return next !== undefined && begun <= times ? refuse(410, "too old") : page(`pods ${begun}`, next === undefined ? "2" : undefined);
    };
  const again = await look(answer(2));
  expect(again.problem).toBeUndefined();
  expect(again.images).toContain("pods 1");
  expect(again.images).toContain("pods 3");
  begun = 0;
  expect((await look(answer(99))).problem).toBe("pods of the whole cluster: too old");
  expect(begun).toBe(3);
});
