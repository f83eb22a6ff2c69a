// One structured log line an event, JSON unless a person watches. Secrets never reach it: they live in types that print as [redacted].

import { pino, type Logger } from "pino";

export type { Logger } from "pino";

export const logLevels = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** A logger on stderr: stdout belongs to results. */
export function createLogger(options: { level: LogLevel; name?: string }): Logger {
  return pino(
    {
      level: options.level,
      base: options.name === undefined ? null : { name: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ["authorization", "*.authorization", "headers.authorization", "headers.cookie", "password", "*.password"],
        censor: "[redacted]",
      },
    },
    pino.destination({ dest: 2, sync: false }),
  );
}
