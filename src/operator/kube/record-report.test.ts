import { pino } from "pino";
import { expect, test } from "vitest";

import { eventually } from "../../../test/support/eventually.ts";
import type { ControlPlaneStatus } from "../../api/control/record.ts";
import { KubeError } from "./errors.ts";
import type { KubeRequest } from "./kube-client.ts";
import { RecordReporter, type RecordReport } from "./record-report.ts";

const status = (part: Partial<ControlPlaneStatus> = {}): ControlPlaneStatus => ({
  head: "1f3c2ab",
  orphans: [],
  problems: [],
  warnings: [],
  waiting: [],
  sourceProblems: [],
  ...part,
});

/** A ConfigMap, and what was written into it. */
function installation(given: Record<string, string> = { installation: "id" }) {
  const written: RecordReport[] = [];
  let failures = 0;
  let version = 1;
  let data: Record<string, string> | undefined = given;
  const seen = () => ({ metadata: { name: "wharfinger", resourceVersion: String(version) } });
  const client = {
    async send<Answer>({ method = "GET", body }: KubeRequest): Promise<Answer> {
      if (failures-- > 0) throw new KubeError(503, "busy");
      if (data === undefined && method !== "POST") throw new KubeError(404, "not found");
      if (method !== "GET") {
        data = { ...data, ...(body as { data: Record<string, string> }).data };
        version++;
        written.push(JSON.parse(data["record"] ?? "") as RecordReport);
      }
      return { ...seen(), data } as Answer;
    },
  };
  const remote = { url: "https://git.example.com/r.git", branch: "wharfinger", folder: "", interval: 1 };
  const logger = pino({ level: "silent" });
  return {
    written,
    failOnce: () => void (failures = 1),
    now: () => data,
    /** Somebody else does it; undefined: deletes it. */
    set: (other: Record<string, string> | undefined) => {
      data = other;
      version++;
    },
    open: () =>
      new RecordReporter({
        client,
        namespace: "registry",
        installation: "id",
        seen: () => (data === undefined ? undefined : seen()),
        remote,
        logger,
      }),
  };
}

test("what somebody takes out is put back, and the id of the installation with it; another id stays", async () => {
  const { written, now, set, open } = installation();
  const reporter = open();
  const again = async (count: number) => {
    reporter.take(status());
    await eventually(() => expect(written).toHaveLength(count));
    reporter.take(status());
  };
  await again(1);
  set(undefined);
  await again(2);
  expect(now()?.["installation"]).toBe("id");
  set({});
  await again(3);
  expect(now()?.["installation"]).toBe("id");
  set({ installation: "a person's" });
  await again(4);
  expect(now()?.["installation"]).toBe("a person's");
  await reporter.stop();
  expect(written).toHaveLength(4);
});

test("it is written when it says something else than what is there, also by another process", async () => {
  const { written, open } = installation({ installation: "id" });
  const first = open();
  first.take(status());
  await eventually(() =>
    expect(written).toEqual([{ status: status(), remote: { url: "https://git.example.com/r.git", branch: "wharfinger", folder: "" } }]),
  );
  first.take(status());
  await first.stop();
  const second = open();
  second.take(status());
  second.take(status({ problem: "the remote does not answer" }));
  await eventually(() => expect(written.map((report) => report.status.problem)).toEqual([undefined, "the remote does not answer"]));
  second.take(status());
  await eventually(() => expect(written).toHaveLength(3));
  await second.stop();
});

test("what could not be written is written again", async () => {
  const { written, open, failOnce } = installation();
  const reporter = open();
  failOnce();
  reporter.take(status());
  await eventually(() => expect(written).toHaveLength(1));
  await reporter.stop();
});

test("long lists have an end, and what a person has to do stays whole", async () => {
  const { written, open } = installation();
  const reporter = open();
  const orphans = Array.from({ length: 130 }, (_, index) => `upstream default/u${index}`);
  const waiting = [`${"long ".repeat(1_000)}kubectl annotate`];
  reporter.take(status({ orphans, waiting, problems: [{ file: "a.yaml", message: "x".repeat(5_000) }] }));
  await eventually(() => expect(written).toHaveLength(1));
  expect(written[0]).toMatchObject({ omitted: 30, status: { orphans: orphans.slice(0, 100), waiting } });
  expect(written[0]?.status.problems[0]?.message).toHaveLength(1_000);
  await reporter.stop();
});
