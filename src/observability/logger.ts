// One structured log line an event, JSON unless a person watches. Secrets never reach it: they live in types that print as [redacted].

import { createRequire } from "node:module";

import { pino, type DestinationStream, type Logger } from "pino";

import { adviceInCluster } from "../domain/advice.ts";
import { escapedControls, everyText, printableLines } from "../domain/printable.ts";

export type { Logger } from "pino";

export const logLevels = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** A logger on stderr: stdout belongs to results. */
export function createLogger(options: { level: LogLevel; name?: string; /** Who reads it is elsewhere. */ inCluster?: boolean }): Logger {
  const watched = process.stderr.isTTY;
  const printed = watched ? printableEvent : escapedControls;
  return pino(
    {
      level: options.level,
      base: options.name === undefined ? null : { name: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: describeError },
      redact: {
        paths: ["authorization", "*.authorization", "headers.authorization", "headers.cookie", "password", "*.password"],
        censor: "[redacted]",
      },
      hooks: { streamWrite: options.inCluster === true ? (line) => printed(adviceInCluster(line)) : printed },
    },
    watched ? readable() : pino.destination({ dest: 2, sync: false }),
  );
}

/** Fields for programs: their messages say the same to a person. */
const saidInWords = ["pid", "hostname", "event", "commit", "run", "readyReason", "migrations"];

/** An error without what hangs on it: the database's errors carry their whole connection. */
export function describeError(error: Error): Record<string, unknown> {
  const { type, message, stack, ...own } = pino.stdSerializers.err(error);
  const scalars = Object.entries(own).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  return { type, message, ...Object.fromEntries(scalars), stack };
}

/** What others wrote must not reach the terminal that the line is made for. */
function printableEvent(line: string): string {
  return `${JSON.stringify(everyText(JSON.parse(line), printableLines))}\n`;
}

/** Lines for a person. Loaded only when one watches. */
function readable(): DestinationStream {
  const pretty = createRequire(import.meta.url)("pino-pretty") as typeof import("pino-pretty");
  const colorize = process.env["NO_COLOR"] === undefined;
  return pretty({ destination: 2, sync: true, colorize, translateTime: "SYS:HH:MM:ss", ignore: saidInWords.join(), singleLine: true });
}
