import type { Clock } from "../../ports/clock.ts";

export interface ManualClock extends Clock {
  /**
   * Moves the time forward. Sleepers wake in the order of their instants, each at exactly its own instant, and
   * what they do next is given a turn of the event loop before the time goes on.
   */
  advance(milliseconds: number): Promise<void>;
  /** How many sleeps are under way. */
  readonly sleepers: number;
}

/** 2026-01-01T00:00:00Z */
export const manualClockStart = Date.UTC(2026, 0, 1);

/** Time that stands still until `advance` is called. For tests. */
export function createManualClock(start = manualClockStart): ManualClock {
  let now = start;
  const sleepers = new Set<Sleeper>();

  return {
    now: () => now,
    get sleepers() {
      return sleepers.size;
    },
    sleep(milliseconds, signal) {
      if (milliseconds <= 0 || signal?.aborted === true) return Promise.resolve();
      return new Promise((resolve) => {
        const sleeper: Sleeper = {
          at: now + milliseconds,
          wake() {
            sleepers.delete(sleeper);
            signal?.removeEventListener("abort", sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", sleeper.wake, { once: true });
      });
    },
    async advance(milliseconds) {
      const end = now + milliseconds;
      await oneTurn();
      for (let next = earliest(sleepers, end); next !== undefined; next = earliest(sleepers, end)) {
        now = Math.max(now, next.at);
        next.wake();
        await oneTurn();
      }
      now = end;
    },
  };
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

function earliest(sleepers: Iterable<Sleeper>, end: number): Sleeper | undefined {
  let found: Sleeper | undefined;
  for (const sleeper of sleepers) {
    if (sleeper.at <= end && (found === undefined || sleeper.at < found.at)) found = sleeper;
  }
  return found;
}

function oneTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
