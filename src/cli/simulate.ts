import { type RunSummary, runSeeds } from "../targets/sim/run-seeds.ts";
import type { ViolationReport } from "../targets/sim/simulate.ts";
import { elapsed } from "../targets/sim/trace.ts";
import { simulationStart } from "../targets/sim/world.ts";
import { type ExitCode, exitCodes } from "./failure.ts";
import { paint, progressBar, type Terminal } from "./terminal.ts";

export interface SimulateOptions {
  readonly seeds?: number;
  readonly seed?: string;
  readonly hours: number;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

const defaultSeeds = 100;

/** `mayfly simulate`: 0 only when nothing that must always hold was violated. Ctrl-C ends it after the seed. */
export async function simulateCommand(options: SimulateOptions, terminal: Terminal): Promise<ExitCode> {
  const seeds = seedsOf(options);
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  process.once("SIGINT", stop);
  const summary = await runSeeds({
    seeds,
    hours: options.hours,
    signal: stopping.signal,
    ...(options.verbose === true && { onLine: (line: string) => terminal.note(line) }),
    onSeed: (result, soFar) => {
      showProgress(terminal, soFar, seeds.length);
      if (result.violation !== undefined && options.json !== true)
        terminal.print(violationText(result.violation));
    },
  });
  process.off("SIGINT", stop);
  terminal.progress("");
  if (options.json === true) terminal.printJson(summary);
  else terminal.print(summaryText(summary, terminal));
  return summary.ok ? exitCodes.ok : exitCodes.failed;
}

/** One seed by its name; or many, counted up from the first. */
function seedsOf({ seeds, seed }: SimulateOptions): readonly string[] {
  if (seed !== undefined && seeds === undefined) return [seed];
  const first = Number(seed ?? 1);
  if (!Number.isSafeInteger(first)) return [seed ?? "1"];
  return Array.from({ length: seeds ?? defaultSeeds }, (_, index) => String(first + index));
}

function showProgress(terminal: Terminal, summary: RunSummary, total: number): void {
  if (total === 1) return;
  const { violations, seeds, machineHours, seconds } = summary;
  const speed = Math.round(machineHours / Math.max(seconds, 0.1));
  terminal.progress(
    `${progressBar(seeds / total)} ${seeds} of ${total} seeds, ${violations.length} violations, ${speed} machine-hours/s`,
  );
}

function violationText(violation: ViolationReport): string {
  return [
    "",
    `${violation.check} was violated: ${violation.message}`,
    `  demands   ${violation.says}`,
    `  seed      ${violation.seed}, step ${violation.step}, at ${elapsed(violation.at - simulationStart)}`,
    ...violation.entities.map((entity) => `  entity    ${JSON.stringify(entity)}`),
    ...violation.events.map((line) => `  event     ${line}`),
    `  again     mayfly simulate --seed ${violation.seed} --hours ${violation.hours} --verbose`,
    "",
  ].join("\n");
}

function summaryText(summary: RunSummary, { screen }: Terminal): string {
  const verdict = summary.ok
    ? paint(screen, "good", "Nothing that must always hold was violated.")
    : paint(screen, "bad", `${summary.violations.length} of ${summary.seeds} seeds violated something.`);
  const { seeds, simulatedHours, machineHours, jobs, launches, crashes, seconds } = summary;
  return [
    verdict,
    `${seeds} seeds, ${Math.round(simulatedHours)} simulated hours, ${Math.round(machineHours)} machine-hours, ${jobs} jobs, ${launches} machines, ${crashes} crashes`,
    `${Math.round(seconds)} s: ${(seeds / seconds).toFixed(1)} seeds/s, ${Math.round(machineHours / seconds)} machine-hours/s, ${summary.stepsPerSecond} steps/s`,
  ].join("\n");
}
