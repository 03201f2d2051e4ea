import { availableParallelism } from "node:os";
import { type RunSummary, runSeeds } from "../targets/sim/run-seeds.ts";
import type { ViolationReport } from "../targets/sim/simulate.ts";
import { elapsed } from "../targets/sim/trace.ts";
import { simulationStart } from "../targets/sim/world.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { paint, progressBar, type Terminal } from "./terminal.ts";

export interface SimulateOptions {
  readonly seeds?: number;
  readonly seed?: string;
  readonly hours?: number;
  readonly jobs?: number;
  readonly workers?: number;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

const defaultSeeds = 100;
const defaultHours = 24;

/**
 * `mayfly simulate`: 0 only when all seeds were simulated and nothing that must always hold was violated. Ctrl-C ends it with
 * what was simulated until then, and a second one ends the process.
 */
export async function simulateCommand(options: SimulateOptions, terminal: Terminal): Promise<ExitCode> {
  const seeds = seedsOf(options);
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  process.once("SIGINT", stop);
  const showProgress = progressOf(terminal, seeds.count);
  const summary = await runSeeds({
    seeds: seeds.names,
    hours: options.hours ?? defaultHours,
    ...(options.jobs !== undefined && { jobs: options.jobs }),
    // One seed needs no thread beside this one.
    ...(seeds.count > 1 && { workers: options.workers ?? availableParallelism() }),
    signal: stopping.signal,
    ...(options.verbose === true && { onLine: (line: string) => terminal.note(line) }),
    onSeed: (result, soFar) => {
      showProgress(soFar);
      if (result.violation === undefined || options.json === true) return;
      terminal.progress("");
      terminal.print(violationText(result.violation, options));
    },
  });
  process.off("SIGINT", stop);
  terminal.progress("");
  if (options.json === true) terminal.printJson(summary);
  else terminal.print(summaryText(summary, seeds.count, terminal));
  return summary.ok && summary.seeds === seeds.count ? exitCodes.ok : exitCodes.failed;
}

/** One seed by its name; or many, counted up from the first. */
function seedsOf({ seeds, seed }: SimulateOptions): {
  readonly names: Iterable<string>;
  readonly count: number;
} {
  const first = Number(seed ?? 1);
  if ((seed !== undefined && seeds === undefined) || !Number.isSafeInteger(first)) {
    return { names: [seed ?? "1"], count: 1 };
  }
  const count = seeds ?? defaultSeeds;
  return { names: countUp(first, count), count };
}

function* countUp(first: number, count: number): Generator<string> {
  for (let index = 0; index < count; index++) yield String(first + index);
}

/** Where nobody looks, a line is enough from time to time. */
const notesEverySeconds = 30;

function progressOf(terminal: Terminal, total: number): (summary: RunSummary) => void {
  let notedAt = 0;
  return (summary) => {
    const { violations, seeds, machineHoursPerSecond, seconds } = summary;
    const text = `${seeds} of ${total} seeds, ${violations.length} violations, ${Math.round(machineHoursPerSecond)} machine-hours/s`;
    if (total === 1) return;
    if (terminal.interactive) terminal.progress(`${progressBar(seeds / total)} ${text} `);
    else if (seconds >= notedAt + notesEverySeconds) {
      notedAt = seconds;
      terminal.note(text);
    }
  };
}

function violationText(violation: ViolationReport, { jobs }: SimulateOptions): string {
  const withJobs = jobs === undefined ? "" : ` --jobs ${jobs}`;
  return [
    "",
    `${violation.check} was violated: ${violation.message}`,
    `  demands   ${violation.says}`,
    `  seed      ${violation.seed}, step ${violation.step}, at ${elapsed(violation.at - simulationStart)}`,
    ...violation.entities.map((entity) => `  entity    ${JSON.stringify(entity)}`),
    ...violation.events.map((line) => `  event     ${line}`),
    `  again     mayfly simulate --seed ${violation.seed} --hours ${violation.hours}${withJobs} --verbose`,
    "",
  ].join("\n");
}

function summaryText(summary: RunSummary, total: number, { screen }: Terminal): string {
  const { seeds, simulatedHours, machineHours, jobs, launches, crashes, seconds, cpuSeconds } = summary;
  const verdict = summary.ok
    ? paint(screen, "good", "Nothing that must always hold was violated.")
    : paint(screen, "bad", `${summary.violations.length} of ${seeds} seeds violated something.`);
  const speed = [
    `${(seeds / seconds).toFixed(1)} seeds/s`,
    `${Math.round(summary.machineHoursPerSecond)} machine-hours/s`,
    `${Math.round(summary.machineHoursPerCpuSecond)} per CPU second`,
    `${summary.stepsPerSecond} steps/s`,
  ];
  return [
    ...(seeds < total ? [`Stopped after ${seeds} of ${total} seeds.`] : []),
    verdict,
    `${seeds} seeds, ${Math.round(simulatedHours)} simulated hours, ${Math.round(machineHours)} machine-hours, ${jobs} jobs, ${launches} machines, ${crashes} crashes`,
    `${Math.round(seconds)} s (${Math.round(cpuSeconds)} s of CPU, ${summary.workers} at a time): ${speed.join(", ")}; ${summary.peakMemoryMib} MiB at most`,
  ].join("\n");
}
