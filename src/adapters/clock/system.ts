import type { Clock } from "../../ports/clock.ts";

/** The time of this machine. The only place that reads it. */
export function createSystemClock(): Clock {
  return { now: () => Date.now(), sleep };
}

/** `setTimeout` fires at once for longer times, so a long sleep is made of several. */
const longestTimerMilliseconds = 2 ** 31 - 1;

async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  let left = milliseconds;
  while (left > 0 && signal?.aborted !== true) {
    const step = Math.min(left, longestTimerMilliseconds);
    await sleepOnce(step, signal);
    left -= step;
  }
}

function sleepOnce(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    signal?.addEventListener("abort", wake, { once: true });
  });
}
