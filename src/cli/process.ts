// A subcommand that serves until it is told to end: starts, says that it is ready, and ends in order whatever ends it.

import { leaveLastWords } from "./last-words.ts";
import { isInPod } from "../config/program-name.ts";
import { announce } from "./output.ts";
import { createLogger, type Logger, type LogLevel } from "../observability/logger.ts";

/** What was started. */
export interface Served {
  /** One line on stdout: it is ready, and where. */
  readonly summary: string;
  /** Milliseconds that transfers which are under way may take of a stop. */
  readonly grace?: number;
  /** Resolves when a part has ended by itself; the rest still runs. */
  readonly failed?: Promise<Error>;
  /** Nothing new, running transfers to their end or the grace period, then everything closed. */
  stop(): Promise<void>;
}

export interface Starting {
  readonly logger: Logger;
  /** Aborted when the process is told to end while it still starts. */
  readonly signal: AbortSignal;
  /** `work` ends what would outlive a process that dies at once, also in the middle of its start. */
  readonly beforeForcedExit: (work: () => void) => void;
}

export type Start = (part: Starting) => Promise<Served>;

/** npm, a shell and a terminal may each deliver the same Ctrl-C: only a later one means "now". Milliseconds. */
const samePress = 1000;
/** Longest orderly stop beside what transfers are given, milliseconds. */
const restWithin = 20_000;
const usualGrace = 10_000;

const lingerFor = 2000;

/** Resolves with the exit code when the process may end. Rejects when it cannot start. */
export async function serveUntilToldToEnd(options: { readonly logLevel: LogLevel; readonly start: Start }): Promise<number> {
  try {
    return await runToTheEnd(options);
  } finally {
    // Everything is closed, so nothing should keep the process; what does anyway does not get to.
    setTimeout(() => process.exit(), lingerFor).unref();
  }
}

async function runToTheEnd({ logLevel, start }: { readonly logLevel: LogLevel; readonly start: Start }): Promise<number> {
  const logger = createLogger({ level: logLevel, inCluster: isInPod() });
  const ending = endings(logger);
  let served: Served;
  try {
    served = await start({ logger, signal: ending.signal, beforeForcedExit: ending.beforeForcedExit });
  } catch (error) {
    if (ending.signal.aborted) return ending.code();
    leaveLastWords((error as Error).message);
    throw error;
  }
  if (served.failed !== undefined) ending.alsoWhen(served.failed);
  announce(served.summary);
  await ending.asked;
  const stopWithin = (served.grace ?? usualGrace) + restWithin;
  const late = setTimeout(() => ending.force(`not everything stopped within ${stopWithin / 1000} s`), stopWithin);
  await served.stop().then(
    () => logger.info("stopped"),
    (error: unknown) => ending.fail(error, "the process did not stop in order; what was under way is mended at the next start"),
  );
  clearTimeout(late);
  return ending.code();
}

/** What may end the process: a signal, a part that failed, a bug. The first one asks for an orderly stop, a later signal or bug forces it. */
function endings(logger: Logger) {
  const stop = new AbortController();
  const asked = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve(), { once: true }));
  let code = 0;
  let askedAt = 0;
  let abandon = () => {};
  const force = (reason: string): never => {
    logger.fatal(`ended at once: ${reason}; what was under way is mended at the next start`);
    abandon();
    logger.flush();
    process.exit(1);
  };
  const ask = () => {
    askedAt = Date.now();
    stop.abort();
  };
  const fail = (error: unknown, message: string) => {
    code = 1;
    logger.fatal({ err: error }, message);
    leaveLastWords(message);
    ask();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (!stop.signal.aborted) {
        logger.info(`${signal}: stopping; once more ends at once`);
        ask();
      } else if (Date.now() - askedAt > samePress) force(`${signal} again`);
    });
  }
  process.on("uncaughtException", (error) => fail(error, "a bug: an error that nobody caught; please report it"));
  process.on("unhandledRejection", (error) => fail(error, "a bug: a rejection that nobody caught; please report it"));
  return {
    signal: stop.signal,
    asked,
    force,
    fail,
    code: () => code,
    alsoWhen: (failed: Promise<Error>) => void failed.then((error) => fail(error, error.message)),
    beforeForcedExit: (work: () => void) => void (abandon = work),
  };
}
