// A client that reads all the time, and remembers every answer that was not the right one.

import { setTimeout as sleep } from "node:timers/promises";

export interface RightAnswer {
  readonly status: number;
  /** Of the manifest. */
  readonly digest?: string;
}

export interface SteadyReader {
  /** From the next reading on, this is right for the path. */
  expect(path: string, answer: RightAnswer): void;
  /** Answers so far. */
  readonly count: number;
  /** Each wrong answer, and each request that had none. */
  readonly wrong: readonly string[];
  stop(): Promise<void>;
}

const mostShown = 20;
/** Milliseconds between two readings of everything. */
const pause = 25;

/** Reads manifests below `url`: what is expected, in turn. */
export function startSteadyReader(url: string): SteadyReader {
  const expected = new Map<string, RightAnswer>();
  const wrong: string[] = [];
  const stopping = new AbortController();
  let count = 0;
  const read = async (path: string): Promise<void> => {
    const answer = await fetch(`${url}${path}`, { headers: { accept: "application/vnd.oci.image.manifest.v1+json" } }).then(
      async (response) => {
        const words = await response.text();
        return { status: response.status, digest: response.headers.get("docker-content-digest"), words };
      },
      (error: Error) => ({ status: undefined, digest: null, words: `${error.message}: ${String(error.cause)}` }),
    );
    count++;
    const { status, digest } = expected.get(path) ?? {};
    if (answer.status === status && (digest === undefined || answer.digest === digest)) return;
    if (wrong.length < mostShown)
      wrong.push(`${new Date().toISOString()} ${path}: ${answer.status ?? "no answer"} ${answer.digest ?? answer.words}`);
  };
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      for (const path of expected.keys()) await read(path);
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    expect: (path, answer) => void expected.set(path, answer),
    get count() {
      return count;
    },
    wrong,
    stop: async () => {
      stopping.abort();
      await loop;
    },
  };
}
