// `wharfinger serve` as a process: starts, says that it is ready, and ends in order whatever ends it.

import { loadSettings } from "../config/load-settings.ts";
import type { ListenAddress } from "../config/listen.ts";
import { programVersion } from "../config/version.ts";
import { createLogger, type Logger, type LogLevel } from "../observability/logger.ts";
import { startStandalone, type Standalone } from "./standalone.ts";

export interface ServeOptions {
  readonly listen: ListenAddress;
  readonly data: string;
  readonly config?: string;
  readonly settings?: string;
  readonly logLevel: LogLevel;
  readonly allowAnonymous: boolean;
}

/** npm, a shell and a terminal may each deliver the same Ctrl-C: only a later one means "now". Milliseconds. */
const samePress = 1000;
/** Longest orderly stop, milliseconds. */
const stopWithin = 30_000;

const lingerFor = 2000;

/** Resolves with the exit code when the process may end. Rejects when it cannot start. */
export async function serve(options: ServeOptions): Promise<number> {
  try {
    return await runToTheEnd(options);
  } finally {
    // Everything is closed, so nothing should keep the process; what does anyway does not get to.
    setTimeout(() => process.exit(), lingerFor).unref();
  }
}

async function runToTheEnd(options: ServeOptions): Promise<number> {
  const logger = createLogger({ level: options.logLevel });
  const ending = endings(logger);
  const settings = await loadSettings(options.settings);
  const starting = startStandalone({ ...options, settings, logger, version: programVersion(), signal: ending.signal });
  let standalone: Standalone;
  try {
    standalone = await starting;
  } catch (error) {
    if (ending.signal.aborted) return ending.code();
    throw error;
  }
  ending.alsoWhen(standalone.failed);
  ending.beforeForcedExit(standalone.abandon);
  process.stdout.write(`${standalone.summary}\n`);
  await ending.asked;
  const late = setTimeout(() => ending.force(`not everything stopped within ${stopWithin / 1000} s`), stopWithin);
  await standalone.stop().then(
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
