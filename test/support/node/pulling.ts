// Pulls by containerd itself, one after the other: nothing of the image is there before each, and none is tried twice.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { answerTo } from "../eventually.ts";
import type { NodeAccess } from "./node.ts";
import { ctr } from "./runtime.ts";

export interface Pulling {
  /** What pulls that failed said. */
  readonly failures: readonly string[];
  /** Resolves when some more went well. */
  some(): Promise<void>;
  /** Resolves when the last one has ended. */
  stop(): Promise<void>;
}

/** `image`: one that nobody else pulls, because containerd takes bytes that it has for granted. */
export function startPulling(node: NodeAccess, image: string): Pulling {
  const namespace = `pulls-${randomBytes(4).toString("hex")}`;
  const failures: string[] = [];
  let done = 0;
  const stopping = new AbortController();
  const pullAnew = async () => {
    await ctr(node, namespace, "images", "rm", "--sync", image);
    await ctr(node, namespace, "content", "fetch", "--hosts-dir", "/etc/containerd/certs.d", image);
  };
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await pullAnew().then(
        () => done++,
        (error: unknown) => failures.push(`${new Date().toISOString()} ${String(error)}`),
      );
      // Others use this machine, too.
      await sleep(50);
    }
  })();
  return {
    failures,
    some: async () => {
      const enough = done + 3;
      await answerTo("some pulls went well", () => (done >= enough ? true : undefined), {
        seconds: 60,
        context: () => failures.join("\n"),
      });
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
