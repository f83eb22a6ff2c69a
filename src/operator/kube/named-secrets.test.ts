// How often a Secret is asked for that the server does not give. What is had of them: test/kubernetes/cluster-source.test.ts.

import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { KubeError } from "./errors.ts";
import type { KubeClient, KubeRequest } from "./kube-client.ts";
import { NamedSecrets } from "./named-secrets.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const object = (version: string, data?: Record<string, string>) => ({
  metadata: { name: "pull", uid: "u", resourceVersion: version },
  ...(data === undefined ? {} : { data }),
});

test("what is refused is asked for after a pause, and told of once; what it was before stays, and is not called gone", async () => {
  let [version, asked, given] = ["1", 0, true];
  const client = {
    send: async ({ path }: KubeRequest) => {
      if (!path.endsWith("/pull")) return { metadata: { resourceVersion: version }, items: [object(version)] };
      asked++;
      if (!given) throw new KubeError(403, "no");
      return object(version, { password: Buffer.from(version).toString("base64") });
    },
    // A watch on which nothing comes.
    async *lines({ opened }: { opened: () => void }): AsyncGenerator<string> {
      opened();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      yield* [];
    },
  } as unknown as KubeClient;
  const log: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => void log.push(line) });
  const secrets = new NamedSecrets({ client, namespace: "a", logger, times: { relist: 1_000 } });
  const informer = secrets.informers.Secret;
  const names = new Map([["pull", () => true]]);
  const password = () => new TextDecoder().decode(secrets.data("Secret", "pull")?.get("password"));
  expect(secrets.content("Secret", "pull")).toEqual({ state: "unknown" });
  informer.start();
  await informer.synced;
  expect(await secrets.want("Secret", names)).toEqual({ changed: true, whole: true });
  [version, given] = ["2", false];
  await vi.advanceTimersByTimeAsync(3_000);
  for (let looks = 0; looks < 20; looks++) expect(await secrets.want("Secret", names)).toEqual({ changed: false, whole: false });
  expect([asked, log.length, password()]).toEqual([2, 1, "1"]);
  await vi.advanceTimersByTimeAsync(5_000);
  await secrets.want("Secret", names);
  expect([asked, log.length]).toEqual([3, 1]);
  // Another version is another question.
  [version, given] = ["3", true];
  await vi.advanceTimersByTimeAsync(3_000);
  expect(await secrets.want("Secret", names)).toEqual({ changed: true, whole: true });
  expect(password()).toBe("3");
  const stopped = informer.stop();
  await vi.advanceTimersByTimeAsync(2_000);
  await stopped;
});

test("of a Secret only those keys are kept that are used, and the names of the others; it is fetched again when more of it is", async () => {
  let asked = 0;
  const encoded = (text: string) => Buffer.from(text).toString("base64");
  const client = {
    send: async ({ path }: KubeRequest) => {
      if (!path.endsWith("/pull")) return { metadata: { resourceVersion: "1" }, items: [object("1")] };
      asked++;
      return object("1", { "cosign.pub": encoded("public"), "cosign.key": encoded("x".repeat(500_000)), password: encoded("secret") });
    },
    async *lines({ opened }: { opened: () => void }): AsyncGenerator<string> {
      opened();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      yield* [];
    },
  } as unknown as KubeClient;
  const secrets = new NamedSecrets({ client, namespace: "a", logger: pino({ level: "silent" }) });
  const informer = secrets.informers.Secret;
  informer.start();
  await informer.synced;
  const held = () => [...(secrets.data("Secret", "pull") ?? [])].map(([key, bytes]) => [key, Buffer.from(bytes).toString()]);
  const want = (...keys: readonly string[]) => secrets.want("Secret", new Map([["pull", (key: string) => keys.includes(key)]]));
  expect(await want("cosign.pub")).toEqual({ changed: true, whole: true });
  expect(held()).toEqual([
    ["cosign.pub", "public"],
    ["cosign.key", ""],
    ["password", ""],
  ]);
  expect(await want("cosign.pub", "tls.crt")).toEqual({ changed: false, whole: true });
  expect(asked).toBe(1);
  expect(await want("cosign.pub", "password")).toEqual({ changed: true, whole: true });
  expect([asked, held()[2]]).toEqual([2, ["password", "secret"]]);
  const stopped = informer.stop();
  await vi.advanceTimersByTimeAsync(2_000);
  await stopped;
});
