import type { Log } from "../../ports/log.ts";

export interface Timer {
  /** Resolves when the first round has ended, well or not. */
  readonly firstRound: Promise<void>;
  /** Resolves when a round that is under way has ended. */
  stop(): Promise<void>;
}

/**
 * Calls `work` now and then again `everySeconds` after each end, so that rounds never overlap. A round that fails
 * is reported; the next one comes all the same.
 */
export function startTimer(name: string, everySeconds: number, work: () => Promise<void>, log: Log): Timer {
  let pending: NodeJS.Timeout | undefined;
  let stopped = false;
  const round = async (): Promise<void> => {
    try {
      await work();
    } catch (error) {
      log.error("A round failed; the next one comes as planned.", { stage: name, error });
    }
    if (!stopped) pending = setTimeout(start, everySeconds * 1000);
  };
  let current: Promise<void> = Promise.resolve();
  const start = (): void => {
    current = round();
  };
  start();
  return {
    firstRound: current,
    async stop() {
      stopped = true;
      clearTimeout(pending);
      await current;
    },
  };
}
