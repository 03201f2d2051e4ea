import { MayflyError } from "../../core/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Log, LogFields } from "../../ports/log.ts";

/** A log that remembers what only an operator can mend, so that the status can say so. */
export interface ProblemLog {
  readonly log: Log;
  /** One sentence each, of the last minutes, the newest first. */
  problems(): readonly string[];
}

const memoryMilliseconds = 5 * 60 * 1000;
const problemsLimit = 20;

export function createProblemLog(log: Log, clock: Clock): ProblemLog {
  const seen = new Map<string, number>();
  return {
    log: watched(log, (error) => {
      const sentence = `${error.message} ${error.suggestion}`;
      seen.delete(sentence);
      seen.set(sentence, clock.now());
      const oldest = seen.keys().next().value;
      if (seen.size > problemsLimit && oldest !== undefined) seen.delete(oldest);
    }),
    problems() {
      const since = clock.now() - memoryMilliseconds;
      for (const [sentence, at] of seen) if (at < since) seen.delete(sentence);
      return [...seen.keys()].reverse();
    },
  };
}

function watched(log: Log, note: (error: MayflyError) => void): Log {
  const look = (fields: LogFields | undefined): void => {
    const error = fields?.error;
    if (error instanceof MayflyError && error.kind === "operator") note(error);
  };
  return {
    debug: (message, fields) => log.debug(message, fields),
    info: (message, fields) => log.info(message, fields),
    warn(message, fields) {
      look(fields);
      log.warn(message, fields);
    },
    error(message, fields) {
      look(fields);
      log.error(message, fields);
    },
    with: (fields) => watched(log.with(fields), note),
  };
}
