import type { Clock } from "../src/ports/clock.ts";
import { start } from "./builders.ts";

/**
 * A clock that stands still until the test moves it. `advance` wakes the sleepers whose time has come, in the
 * order of their times, and lets what they started run before it moves on.
 */
export interface ManualClock extends Clock {
  advance(milliseconds: number): Promise<void>;
  /** How many sleeps have not ended. */
  sleepers(): number;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function createManualClock(from: number = start): ManualClock {
  let now = from;
  const sleepers = new Set<Sleeper>();

  function nextUntil(limit: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of sleepers) {
      if (sleeper.at <= limit && (next === undefined || sleeper.at < next.at)) next = sleeper;
    }
    return next;
  }

  return {
    now: () => now,
    sleep: (milliseconds, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const sleeper = { at: now + milliseconds, wake };
        function wake(): void {
          sleepers.delete(sleeper);
          signal?.removeEventListener("abort", wake);
          resolve();
        }
        sleepers.add(sleeper);
        signal?.addEventListener("abort", wake);
      }),
    sleepers: () => sleepers.size,
    async advance(milliseconds) {
      const until = now + milliseconds;
      await settle();
      for (let next = nextUntil(until); next !== undefined; next = nextUntil(until)) {
        now = Math.max(now, next.at);
        next.wake();
        await settle();
      }
      now = until;
      await settle();
    },
  };
}

/** Lets everything run that waits for nothing but its turn: writes that share a commit take some turns. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
