// A start that something is in the way of does not end: it says what that is, tries again, and goes on when it is mended. What only another
// configuration mends ends it.

import { setTimeout as sleep } from "node:timers/promises";

import type { ListenAddress } from "../config/listen.ts";
import { noMetrics, startProbes } from "../listeners/probes.ts";
import type { Logger } from "../observability/logger.ts";
import type { Obstacles } from "../observability/obstacles.ts";
import type { CertificateFiles } from "./http/listening/certificate.ts";
import { openWaitingRoom } from "./http/listening/waiting-room.ts";
import { obstacleIn } from "./start-obstacles.ts";

export interface PatientStartOptions<T> {
  /** Everything that may have to be tried again. Closes what it opened when it rejects. `listening`: to be called before it listens itself. */
  readonly attempt: (listening: () => Promise<void>) => Promise<T>;
  readonly listen: ListenAddress;
  /** Of probes and metrics, where they are not on `listen`. */
  readonly adminListen: ListenAddress | undefined;
  readonly tls: CertificateFiles | undefined;
  readonly adminToken: string | undefined;
  /** Aborted: it is tried no more. */
  readonly signal: AbortSignal;
  /** Where it is said what is in the way. */
  readonly obstacles: Obstacles;
  readonly logger: Logger;
}

/** Seconds between two tries: each costs a connection and a question or two. */
const pace = 3;
const nothingYet = { reason: "Starting", message: "The registry is starting." };

/** Rejects with what ends the process, and when `signal` is aborted. */
export async function startPatiently<T>(options: PatientStartOptions<T>): Promise<T> {
  const { attempt, signal, obstacles } = options;
  let leave: (() => Promise<void>) | undefined = await answerMeanwhile(options);
  const listening = async () => {
    await leave?.();
    leave = undefined;
  };
  try {
    for (;;) {
      leave ??= await answerMeanwhile(options);
      const started = await attempt(listening).catch((error: unknown) => {
        const obstacle = obstacleIn(error);
        if (obstacle === undefined || signal.aborted) throw error;
        obstacles.meet(obstacle);
        return undefined;
      });
      if (started !== undefined) {
        obstacles.overcome();
        return started;
      }
      // Not all processes in the same moment.
      await sleep(pace * 1_000 * (0.8 + Math.random() * 0.4), undefined, { signal });
    }
  } finally {
    await listening();
  }
}

async function answerMeanwhile<T>(options: PatientStartOptions<T>): Promise<() => Promise<void>> {
  const { listen, adminListen, tls, adminToken, obstacles, logger } = options;
  const why = () => obstacles.current ?? nothingYet;
  if (adminListen === undefined) return openWaitingRoom({ listen, tls, why, adminToken, retryAfter: pace, logger });
  const checks = () => [{ name: "start", ready: false, message: `${why().reason}: ${why().message}` }];
  const probes = await startProbes({ listen: adminListen, option: "--admin-listen", checks, metrics: noMetrics });
  return () => probes.stop();
}
