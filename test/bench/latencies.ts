// Pulls at a steady pace over a few kept connections: how long each took, milliseconds.

import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

export interface PullLoad {
  readonly url: string;
  readonly connections: number;
  /** Requests a second, in all. */
  readonly rate: number;
}

export interface Latencies {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly most: number;
}

/** Pulls until `over` settles. A pull that is not 200 rejects. */
export async function pullWhile<T>(load: PullLoad, over: Promise<T>): Promise<{ readonly latencies: Latencies; readonly result: T }> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections });
  const samples: number[] = [];
  const state = { busy: true };
  const ended = over.finally(() => (state.busy = false));
  const between = (1000 * load.connections) / load.rate;
  const one = async (index: number) => {
    for (let next = performance.now() + (between * index) / load.connections; state.busy; next += between) {
      await sleep(Math.max(0, next - performance.now()));
      samples.push(await pull(agent, load.url));
    }
  };
  try {
    const [result] = await Promise.all([ended, ...Array.from({ length: load.connections }, (_, index) => one(index))]);
    return { latencies: describe(samples), result };
  } finally {
    agent.destroy();
  }
}

function pull(agent: Agent, url: string): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { accept: "application/vnd.oci.image.manifest.v1+json" } }, (answer) => {
      answer.resume().on("end", () => {
        if (answer.statusCode === 200) resolve(performance.now() - started);
        else reject(new Error(`a pull was answered ${answer.statusCode}`));
      });
    })
      .on("error", reject)
      .end();
  });
}

function describe(samples: readonly number[]): Latencies {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
  return { count: sorted.length, median: at(0.5), p99: at(0.99), most: at(1) };
}
