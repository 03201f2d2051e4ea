import type { Log, LogFields } from "../../ports/log.ts";
import { printableFields } from "./printable.ts";

interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface MemoryLog extends Log {
  /** All lines so far, oldest first, also those of logs made by `with`. */
  readonly lines: readonly LogLine[];
  /** All lines as JSON, one per line: what a log file would contain. */
  text(): string;
}

/** Keeps the lines, with fields as they would have been printed. For tests. */
export function createMemoryLog(): MemoryLog {
  const lines: LogLine[] = [];
  return {
    ...logWith(lines, {}),
    lines,
    text: () => lines.map((line) => JSON.stringify(line)).join("\n"),
  };
}

function logWith(lines: LogLine[], common: LogFields): Log {
  const writer = (level: LogLine["level"]) => (message: string, fields?: LogFields) => {
    lines.push({ level, message, fields: printableFields({ ...common, ...fields }) });
  };
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
    with: (fields) => logWith(lines, { ...common, ...fields }),
  };
}
