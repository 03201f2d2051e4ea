import { Worker } from "node:worker_threads";
import type { SeedOptions, SeedResult } from "./simulate.ts";

/**
 * Simulates seeds in so many threads, each of which takes the next one when it is done with one. `onResult` gets the place
 * of the seed among all. Rejects when a thread fails, and resolves at once when the signal is aborted; seeds under way are
 * given up then.
 */
export async function simulateInThreads(
  tasks: Iterable<SeedOptions>,
  count: number,
  onResult: (result: SeedResult, place: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const left = tasks[Symbol.iterator]();
  let places = 0;
  const next = (): Task | undefined => {
    const taken = signal?.aborted === true ? undefined : left.next();
    return taken === undefined || taken.done === true ? undefined : { seed: taken.value, place: places++ };
  };
  const threads = Array.from({ length: count }, () => simulateNext(next, onResult, signal));
  await Promise.all(threads);
}

/** Most of what a seed makes is garbage at once. The more of it is thrown away together, the less there is to be kept. */
const maxYoungGenerationSizeMb = 128;

interface Task {
  readonly seed: SeedOptions;
  readonly place: number;
}

/** One thread, from its first seed to its last. */
async function simulateNext(
  next: () => Task | undefined,
  onResult: (result: SeedResult, place: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let task = next();
  if (task === undefined) return;
  const worker = new Worker(threadFile(), { resourceLimits: { maxYoungGenerationSizeMb } });
  const end = (): void => void worker.terminate();
  signal?.addEventListener("abort", end);
  try {
    await new Promise<void>((resolve, reject) => {
      worker.on("message", (result: SeedResult) => {
        if (task !== undefined) onResult(result, task.place);
        task = next();
        if (task === undefined) resolve();
        else worker.postMessage(task.seed);
      });
      worker.on("error", reject);
      worker.on("exit", () => resolve());
      worker.postMessage(task?.seed);
    });
  } finally {
    signal?.removeEventListener("abort", end);
    await worker.terminate();
  }
}

function threadFile(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js", import.meta.url);
}
