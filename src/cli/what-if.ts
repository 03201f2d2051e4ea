import { writeFile } from "node:fs/promises";
import { loadConfig } from "../config/load.ts";
import { MayflyError } from "../core/errors.ts";
import type { TracedJob } from "../core/job-trace.ts";
import { iso } from "../core/status.ts";
import { type CloudAssumptions, replayJobs, typicalCloud } from "../targets/sim/replay.ts";
import { type WhatIfReport, whatIfReport } from "../targets/sim/what-if.ts";
import { configPath } from "./connection.ts";
import { type ExitCode, exitCodes, UsageError } from "./failure.ts";
import { policyWithStored } from "./stored-classes.ts";
import { progressBar, type Terminal } from "./terminal.ts";
import { readTraceFile } from "./trace-file.ts";
import { renderChart } from "./what-if-chart.ts";
import { renderWhatIf } from "./what-if-text.ts";

export interface WhatIfOptions {
  readonly trace?: string;
  readonly config?: string;
  readonly against?: string;
  readonly chart?: string;
  readonly bootSeconds?: number;
  readonly interruptions?: number;
  readonly seed?: string;
  readonly json?: boolean;
}

/** What `mayfly simulate --trace --json` prints. Fields are only ever added. */
export interface WhatIfDocument {
  readonly trace: TraceSummary;
  readonly assumptions: CloudAssumptions & { readonly seed: string };
  /** One of each config: that of `--config`, then that of `--against`. */
  readonly reports: readonly WhatIfReport[];
  /** Where the chart was written, or null. */
  readonly chart: string | null;
}

export interface TraceSummary {
  readonly file: string;
  readonly jobs: number;
  readonly repositories: number;
  /** When the first and the last job were queued. */
  readonly from: string;
  readonly until: string;
}

/** `mayfly simulate --trace`: what would have come of these jobs with this config, and with another. */
export async function whatIfCommand(options: WhatIfOptions, terminal: Terminal): Promise<ExitCode> {
  const file = options.trace ?? "";
  const configs = [configPath(options), ...(options.against === undefined ? [] : [options.against])];
  const loaded = [];
  for (const path of configs) {
    const read = await loadConfig({ path });
    loaded.push({ path, ...read, policy: await policyWithStored(read, terminal) });
  }
  const jobs = await readTraceFile(file);
  const assumptions = {
    bootSeconds: options.bootSeconds ?? typicalCloud.bootSeconds,
    taskSeconds: options.bootSeconds ?? typicalCloud.taskSeconds,
    interruptionsPercent: options.interruptions ?? typicalCloud.interruptionsPercent,
    seed: options.seed ?? "1",
  };
  const reports: WhatIfReport[] = [];
  for (const { path, policy } of loaded) {
    const replay = await replayJobs({
      jobs,
      policy,
      cloud: assumptions,
      seed: assumptions.seed,
      onProgress: (part) => terminal.progress(`${progressBar(part)} ${path}, ${Math.floor(part * 100)} %`),
    });
    reports.push(whatIfReport({ config: path, policy, jobs, replay }));
  }
  terminal.progress("");
  const { chart = null } = options;
  const document: WhatIfDocument = { trace: summaryOf(file, jobs), assumptions, reports, chart };
  if (chart !== null) await writeChart(chart, renderChart(document));
  if (options.json === true) terminal.printJson(document);
  else terminal.print(renderWhatIf(document, terminal.screen));
  return exitCodes.ok;
}

/** The options of a what-if say nothing without a trace, and those of the seeds nothing with one. */
export function checkSimulateOptions(
  options: WhatIfOptions & {
    readonly seeds?: number;
    readonly hours?: number;
    readonly jobs?: number;
    readonly workers?: number;
    readonly verbose?: boolean;
  },
): void {
  const { trace, config, against, chart, bootSeconds, interruptions } = options;
  const { seeds, hours, jobs, workers, verbose } = options;
  if (trace === undefined) {
    const alone = Object.entries({ config, against, chart, bootSeconds, interruptions });
    const name = alone.find(([, value]) => value !== undefined)?.[0];
    if (name === undefined) return;
    throw new UsageError(
      `--${name.replace("Seconds", "-seconds")} is about the replay of a trace, and there is none.`,
      "Name the trace with --trace, or leave the option out.",
    );
  }
  const others = Object.entries({ seeds, hours, jobs, workers, verbose });
  const other = others.find(([, value]) => value !== undefined)?.[0];
  if (other === undefined) return;
  throw new UsageError(
    `--${other} is about simulations without a trace.`,
    "Leave out that option, or --trace.",
  );
}

function summaryOf(file: string, jobs: readonly TracedJob[]): TraceSummary {
  return {
    file,
    jobs: jobs.length,
    repositories: new Set(jobs.map((job) => job.repository)).size,
    from: iso(jobs[0]?.queuedAt ?? 0),
    until: iso(jobs.at(-1)?.queuedAt ?? 0),
  };
}

async function writeChart(path: string, svg: string): Promise<void> {
  try {
    await writeFile(path, svg);
  } catch (error) {
    throw new MayflyError({
      kind: "operator",
      code: "CHART_UNWRITABLE",
      message: `The chart cannot be written: ${error instanceof Error ? error.message : String(error)}.`,
      suggestion: "Name a file with --chart in a folder that you may write to.",
      cause: error,
    });
  }
}
