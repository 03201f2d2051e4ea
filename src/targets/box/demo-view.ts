import type { WriteStream } from "node:tty";
import type { MachineStatus, StatusDocument } from "../../core/status.ts";
import type { Job } from "../../emulator/model-state.ts";
import type { DemoSummary } from "./demo.ts";

/** What the terminal shows while a demo runs: a picture that is drawn again, or lines where there is no terminal. */
export interface DemoView {
  show(status: StatusDocument, jobs: readonly Job[]): void;
  finish(summary: DemoSummary, logLines: readonly string[]): void;
  /** Says that the page stays up, until the signal. */
  keep(signal: AbortSignal): Promise<void>;
}

const machineLines = 10;
const barWidth = 30;
const lineEveryMilliseconds = 5000;

export function createDemoView(
  stream: Pick<WriteStream, "write"> & { isTTY?: boolean; columns?: number },
  url: string,
  faults: string,
): DemoView {
  const live = stream.isTTY === true;
  let drawn = 0;
  let lastLine = "";
  let lastLineAt = 0;
  const draw = (lines: readonly string[]): void => {
    const width = stream.columns ?? 80;
    const up = drawn === 0 ? "" : `\x1b[${drawn}A`;
    stream.write(`${up}${lines.map((line) => `\x1b[2K${line.slice(0, width - 1)}\n`).join("")}\x1b[J`);
    drawn = lines.length;
  };
  stream.write(
    `Mayfly demo. GitHub is emulated${faults === "none" ? "" : ` with ${faults} faults`}; every job gets a machine of its own.\nPage: ${url}/\n\n`,
  );
  return {
    show(status, jobs) {
      if (live) return draw(picture(status, jobs));
      const line = countsText(status, jobs);
      if (line === lastLine || performance.now() - lastLineAt < lineEveryMilliseconds) return;
      lastLine = line;
      lastLineAt = performance.now();
      stream.write(`${line}\n`);
    },
    finish(summary, logLines) {
      stream.write(`${live ? "\n" : ""}${summaryText(summary)}\n`);
      for (const line of logLines) stream.write(line);
    },
    async keep(signal) {
      stream.write(`\nThe page stays up at ${url}/ until Ctrl-C.\n`);
      if (signal.aborted) return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
}

function picture(status: StatusDocument, jobs: readonly Job[]): readonly string[] {
  const done = jobs.filter((job) => job.status === "completed").length;
  const filled = jobs.length === 0 ? 0 : Math.round((done / jobs.length) * barWidth);
  const bar = "█".repeat(filled) + "░".repeat(barWidth - filled);
  const names = new Map(jobs.map((job) => [job.id, job.planned.name]));
  const shown = status.activeMachines.slice(0, machineLines);
  const more = status.activeMachines.length - shown.length;
  return [
    `jobs      ${bar} ${done}/${jobs.length}`,
    `          ${countsText(status, jobs)}`,
    "",
    ...shown.map((machine) => machineText(machine, names)),
    ...(more > 0 ? [`  and ${more} more machines`] : []),
  ];
}

function countsText(status: StatusDocument, jobs: readonly Job[]): string {
  const count = (state: Job["status"]): number => jobs.filter((job) => job.status === state).length;
  const { alive, endedLastHour } = status.machines;
  return (
    `queued ${count("queued")}, running ${count("in_progress")}, done ${count("completed")} of ${jobs.length}` +
    ` · machines ${alive} alive, ${endedLastHour} ended`
  );
}

function machineText(machine: MachineStatus, names: ReadonlyMap<number, string>): string {
  const job = machine.jobId === null ? "" : (names.get(machine.jobId) ?? `job ${machine.jobId}`);
  const age = `${Math.round(machine.ageSeconds)} s`;
  return `  ${machine.id.padEnd(24)} ${machine.state.padEnd(11)} ${age.padStart(6)}  ${job}`;
}

function summaryText({ jobs, machines, waitSeconds, cost, ok }: DemoSummary): string {
  const seconds = (value: number | null): string => (value === null ? "–" : `${value.toFixed(1)} s`);
  const dollars = (value: number): string => `$${value.toFixed(value < 0.1 ? 4 : 2)}`;
  return [
    ok ? "Every job ran, and no machine is left." : "The demo did not end well.",
    `  jobs      ${jobs.completed} of ${jobs.queued} completed, ${jobs.givenUp} given up`,
    `  machines  ${machines.launched} launched, ${machines.ended} ended, ${machines.alive} alive`,
    `  wait      p50 ${seconds(waitSeconds.p50)}, p95 ${seconds(waitSeconds.p95)}`,
    `  cost      these jobs: ${dollars(cost.githubHostedUsd)} on GitHub-hosted runners, about ${dollars(cost.ec2SpotUsd)} on EC2 spot`,
  ].join("\n");
}
