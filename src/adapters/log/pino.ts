import pino from "pino";
import type { Log, LogFields } from "../../ports/log.ts";
import { printableFields } from "./printable.ts";

type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface PinoLogOptions {
  readonly level: LogLevel;
  /** Where the lines go, each with its line feed. Without it, to standard output. */
  readonly destination?: { write(line: string): void };
}

/**
 * One JSON object per line: `level`, `time` (ISO 8601, UTC), `message`, then the fields. Standard output is
 * written without waiting, and flushed when the process ends.
 */
export function createPinoLog(options: PinoLogOptions): Log {
  const destination = options.destination ?? pino.destination({ dest: 1, sync: false });
  const logger = pino(
    {
      level: options.level,
      messageKey: "message",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return logWith(logger, {});
}

function logWith(logger: pino.Logger, common: LogFields): Log {
  const write = (level: "debug" | "info" | "warn" | "error", message: string, fields?: LogFields): void => {
    if (!logger.isLevelEnabled(level)) return;
    logger[level](printableFields({ ...common, ...fields }), "%s", message);
  };
  return {
    debug: (message, fields) => write("debug", message, fields),
    info: (message, fields) => write("info", message, fields),
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
    with: (fields) => logWith(logger, { ...common, ...fields }),
  };
}
