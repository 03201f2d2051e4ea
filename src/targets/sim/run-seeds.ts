import { type SeedOptions, type SeedResult, simulateSeed, type ViolationReport } from "./simulate.ts";
import { simulateInThreads } from "./threads.ts";

export interface RunOptions {
  /** The seeds, in their order. */
  readonly seeds: Iterable<string>;
  readonly hours: number;
  /** So many jobs in each seed, instead of those that it draws. */
  readonly jobs?: number;
  /** How many seeds are simulated at the same time, each in a thread of its own. Without it, one in this thread. */
  readonly workers?: number;
  /** After each seed, in the order in which they end. */
  readonly onSeed?: (result: SeedResult, summary: RunSummary) => void;
  /** Every line of every trace, for which the seeds are simulated in this thread, one after the other. */
  readonly onLine?: (line: string) => void;
  /** Ends the run with the seeds that were simulated until then. */
  readonly signal?: AbortSignal;
}

/** The documented contract of `mayfly simulate --json`. */
export interface RunSummary {
  readonly seeds: number;
  readonly violations: readonly ViolationReport[];
  readonly simulatedHours: number;
  readonly machineHours: number;
  readonly jobs: number;
  readonly launches: number;
  readonly crashes: number;
  readonly steps: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly workers: number;
  readonly stepsPerSecond: number;
  readonly machineHoursPerSecond: number;
  readonly machineHoursPerCpuSecond: number;
  readonly peakMemoryMib: number;
  readonly ok: boolean;
}

/**
 * Simulates many seeds, and counts. A violation ends its seed, not the run. What is counted does not depend on the number
 * of workers, nor on who ends first; what is measured does.
 */
export async function runSeeds(options: RunOptions): Promise<RunSummary> {
  const { onLine, signal, onSeed } = options;
  const inThreads = options.workers !== undefined && onLine === undefined;
  const workers = inThreads ? Math.max(1, options.workers ?? 1) : 1;
  const tally = new Tally(workers);
  const note = (result: SeedResult, place: number): void => {
    tally.add(result, place);
    onSeed?.(result, tally.summary());
  };
  const tasks = tasksOf(options);
  if (inThreads) await simulateInThreads(tasks, workers, note, signal);
  else {
    let place = 0;
    for (const task of tasks) {
      const result = await simulateSeed({ ...task, ...(onLine && { onLine }), ...(signal && { signal }) });
      if (signal?.aborted === true) break;
      note(result, place);
      place += 1;
    }
  }
  return tally.summary();
}

function* tasksOf({ seeds, hours, jobs }: RunOptions): Generator<SeedOptions> {
  for (const seed of seeds) yield { seed, hours, ...(jobs !== undefined && { jobs }) };
}

/** Sums of whole numbers only, which are the same in any order. */
class Tally {
  readonly #workers: number;
  readonly #startedAt = performance.now();
  readonly #cpuAtStart = process.cpuUsage();
  readonly #violations: { readonly place: number; readonly report: ViolationReport }[] = [];
  #seeds = 0;
  #simulatedMilliseconds = 0;
  #machineMilliseconds = 0;
  #jobs = 0;
  #launches = 0;
  #crashes = 0;
  #steps = 0;

  constructor(workers: number) {
    this.#workers = workers;
  }

  add(result: SeedResult, place: number): void {
    this.#seeds += 1;
    this.#simulatedMilliseconds += result.simulatedMilliseconds;
    this.#machineMilliseconds += result.machineMilliseconds;
    this.#jobs += result.jobs;
    this.#launches += result.launches;
    this.#crashes += result.crashes;
    this.#steps += result.steps;
    if (result.violation !== undefined) this.#violations.push({ place, report: result.violation });
  }

  summary(): RunSummary {
    const seconds = Math.max((performance.now() - this.#startedAt) / 1_000, 0.001);
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    const cpuSeconds = Math.max((user + system) / 1_000_000, 0.001);
    const machineHours = this.#machineMilliseconds / 3_600_000;
    const inOrder = this.#violations.toSorted((left, right) => left.place - right.place);
    return {
      seeds: this.#seeds,
      violations: inOrder.map(({ report }) => report),
      simulatedHours: rounded(this.#simulatedMilliseconds / 3_600_000),
      machineHours: rounded(machineHours),
      jobs: this.#jobs,
      launches: this.#launches,
      crashes: this.#crashes,
      steps: this.#steps,
      seconds: rounded(seconds),
      cpuSeconds: rounded(cpuSeconds),
      workers: this.#workers,
      stepsPerSecond: Math.round(this.#steps / seconds),
      machineHoursPerSecond: rounded(machineHours / seconds),
      machineHoursPerCpuSecond: rounded(machineHours / cpuSeconds),
      peakMemoryMib: Math.round(process.resourceUsage().maxRSS / 1_024),
      ok: this.#violations.length === 0,
    };
  }
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
