import { type SeedResult, simulateSeed, type ViolationReport } from "./simulate.ts";

export interface RunOptions {
  /** The seeds, in their order. */
  readonly seeds: Iterable<string>;
  readonly hours: number;
  readonly onSeed?: (result: SeedResult, summary: RunSummary) => void;
  readonly onLine?: (line: string) => void;
  /** After the seed that is under way, no other is begun. */
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
  readonly seconds: number;
  readonly stepsPerSecond: number;
  readonly ok: boolean;
}

/** Simulates one seed after the other, and counts. A violation ends its seed, not the run. */
export async function runSeeds(options: RunOptions): Promise<RunSummary> {
  const startedAt = performance.now();
  let steps = 0;
  let summary: RunSummary = {
    seeds: 0,
    violations: [],
    simulatedHours: 0,
    machineHours: 0,
    jobs: 0,
    launches: 0,
    crashes: 0,
    seconds: 0,
    stepsPerSecond: 0,
    ok: true,
  };
  for (const seed of options.seeds) {
    if (options.signal?.aborted === true) break;
    const { hours, onLine } = options;
    const result = await simulateSeed({ seed, hours, ...(onLine !== undefined && { onLine }) });
    const seconds = (performance.now() - startedAt) / 1_000;
    steps += result.steps;
    const violations = [...summary.violations, ...(result.violation === undefined ? [] : [result.violation])];
    summary = {
      seeds: summary.seeds + 1,
      violations,
      simulatedHours: rounded(summary.simulatedHours + result.simulatedHours),
      machineHours: rounded(summary.machineHours + result.machineHours),
      jobs: summary.jobs + result.jobs,
      launches: summary.launches + result.launches,
      crashes: summary.crashes + result.crashes,
      seconds: rounded(seconds),
      stepsPerSecond: Math.round(steps / seconds),
      ok: violations.length === 0,
    };
    options.onSeed?.(result, summary);
  }
  return summary;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
