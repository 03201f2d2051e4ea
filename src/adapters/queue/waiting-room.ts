import type { Clock } from "../../ports/clock.ts";
import type { ReceiveOptions } from "../../ports/queue.ts";

/** Where receivers wait until something is due, was sent, or they are not wanted any more. */
export interface WaitingRoom {
  /**
   * Takes messages as soon as there are some. Sleeps until the earliest one that is known is due, not longer than
   * `waitSeconds`, and looks again whenever `wake` is called.
   */
  receive<Item>(source: Source<Item>, options: ReceiveOptions): Promise<readonly Item[]>;
  /** To be called when a message was sent or released. */
  wake(): void;
}

export interface Source<Item> {
  /** When the earliest message comes; undefined when there is none. */
  nextDueAt(): number | undefined;
  /** Takes up to `limit` messages that are due now. */
  take(limit: number, visibilitySeconds: number): Promise<readonly Item[]>;
}

/** When `closing` aborts, all receivers that wait return with nothing. */
export function createWaitingRoom(clock: Clock, closing?: AbortSignal): WaitingRoom {
  const sleepers = new Set<AbortController>();

  /** Registers before it gives up the thread, so that no `wake` can be missed between looking and sleeping. */
  async function sleepUntil(instant: number, signals: readonly AbortSignal[]): Promise<void> {
    const sleeper = new AbortController();
    const leave = (): void => sleeper.abort();
    sleepers.add(sleeper);
    for (const signal of signals) signal.addEventListener("abort", leave);
    await clock.sleep(instant - clock.now(), sleeper.signal);
    for (const signal of signals) signal.removeEventListener("abort", leave);
    sleepers.delete(sleeper);
  }

  return {
    async receive(source, { limit, visibilitySeconds, waitSeconds, signal }) {
      const signals = [signal, closing].filter((each) => each !== undefined);
      const deadline = clock.now() + waitSeconds * 1_000;
      while (signal?.aborted !== true) {
        const due = source.nextDueAt();
        const now = clock.now();
        if (due !== undefined && due <= now) {
          const taken = await source.take(limit, visibilitySeconds);
          if (taken.length > 0) return taken;
        } else if (now < deadline) {
          await sleepUntil(Math.min(due ?? deadline, deadline), signals);
          if (closing?.aborted === true) return [];
        } else {
          return [];
        }
      }
      return [];
    },
    wake() {
      for (const sleeper of sleepers) sleeper.abort();
    },
  };
}
