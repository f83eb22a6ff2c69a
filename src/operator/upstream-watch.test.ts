import { expect, test } from "vitest";

import type { UpstreamView } from "../api/control/contents.ts";
import { watchUpstreams } from "./upstream-watch.ts";

test("tells what is new, and what is said first after silence, though it is the same", async () => {
  const view = (reachable: UpstreamView["reachable"]) => ({ key: "default/cgr", reachable, message: "" }) as unknown as UpstreamView;
  const silence = new Error("No answer from the registry");
  const answers = [[view("True")], [view("True")], [view("False")], silence, silence, [view("False")], [view("False")]];
  const told: [number, string | undefined][] = [];
  const stopping = new AbortController();
  let asked = 0;
  await watchUpstreams(
    {
      upstreams: async () => {
        const answer = answers[asked++] ?? [];
        if (asked === answers.length) stopping.abort();
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    { signal: stopping.signal, interval: 1, changed: ([seen]) => told.push([asked, seen?.reachable]) },
  );
  expect(told).toEqual([
    [1, "True"],
    [3, "False"],
    [6, "False"],
  ]);
});
