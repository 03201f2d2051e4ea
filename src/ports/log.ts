/**
 * Where log lines go. Warnings and errors are static sentences; everything that varies is a field, so that
 * lines can be counted and searched. Every line carries the field `stage`.
 *
 * A `Secret` in a field prints as `[secret]`. An `Error` in the field `error` is printed with its code and
 * cause. Logging never throws and never waits.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose lines all carry `fields`. */
  with(fields: LogFields): Log;
}

export type LogFields = Readonly<Record<string, unknown>>;
