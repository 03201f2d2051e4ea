import type { Clock } from "../../ports/clock.ts";
import type { Log, LogFields } from "../../ports/log.ts";
import { printableFields } from "./printable.ts";

const ranks = { debug: 0, info: 1, warn: 2, error: 3 } as const;

type LogLevel = keyof typeof ranks;

export interface JsonLinesLogOptions {
  readonly level: LogLevel;
  readonly clock: Clock;
  /** Where the lines go, each with its line feed. Without it, to standard output. */
  readonly write?: (line: string) => void;
}

/**
 * The same lines as those of the box: one JSON object each, `level`, `time` (ISO 8601, UTC), `message`, then the
 * fields. For functions, where loading a library takes longer than all lines of an invocation.
 */
export function createJsonLinesLog({ level, clock, write = toStandardOutput }: JsonLinesLogOptions): Log {
  const print = (lineLevel: LogLevel, message: string, fields: LogFields): void => {
    if (ranks[lineLevel] < ranks[level]) return;
    const time = new Date(clock.now()).toISOString();
    write(`${JSON.stringify({ level: lineLevel, time, message, ...printableFields(fields) })}\n`);
  };
  return logWith(print, {});
}

type Print = (level: LogLevel, message: string, fields: LogFields) => void;

function logWith(print: Print, common: LogFields): Log {
  const at = (level: LogLevel) => (message: string, fields?: LogFields) =>
    print(level, message, { ...common, ...fields });
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => logWith(print, { ...common, ...fields }),
  };
}

/** A pipe is written at once, so that no line is lost when the function is frozen after its answer. */
function toStandardOutput(line: string): void {
  process.stdout.write(line);
}
