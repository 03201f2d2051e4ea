import type { JobStatus } from "../core/status.ts";
import { durationText, relativeText } from "./phrases.ts";
import { type Column, renderTable } from "./table.ts";
import type { Screen, Style } from "./terminal.ts";

/** Jobs that wait or run, and what each waits for. */
export function renderActiveJobs(jobs: readonly JobStatus[], screen: Screen): string {
  return renderTable(
    [
      ...identity,
      { title: "WAITED", cell: (job) => durationText(job.waitSeconds), align: "right" },
      { title: "RUNS FOR", cell: secondsCell, align: "right" },
      {
        title: "WAITS FOR, OR MACHINE",
        cell: (job) => job.waitsFor ?? job.machine ?? "",
        shrinksTo: 20,
      },
    ],
    jobs,
    screen,
  );
}

/** Jobs that have ended, and how. */
export function renderRecentJobs(jobs: readonly JobStatus[], screen: Screen): string {
  return renderTable(
    [
      ...identity,
      { title: "WAITED", cell: (job) => durationText(job.waitSeconds), align: "right" },
      { title: "RAN", cell: secondsCell, align: "right" },
      {
        title: "ENDED",
        cell: (job) => (job.completedAt === null ? "" : relativeText(job.completedAt, screen.now)),
      },
      { title: "MACHINE", cell: (job) => job.machine ?? "", shrinksTo: 12 },
    ],
    jobs,
    screen,
  );
}

/** `success`, `given-up: no-capacity`, or the state while it lives. */
export function outcomeText(job: JobStatus): string {
  if (job.outcome === null) return job.state;
  return job.because === null ? job.outcome : `${job.outcome}: ${job.because}`;
}

export function outcomeStyle(job: JobStatus): Style | undefined {
  if (job.outcome === null) return job.state === "running" ? "good" : "doubtful";
  if (job.outcome === "success") return "good";
  return job.outcome === "cancelled" || job.outcome === "skipped" ? "quiet" : "bad";
}

const identity: readonly Column<JobStatus>[] = [
  { title: "ID", cell: (job) => String(job.id) },
  { title: "STATE", cell: outcomeText, style: outcomeStyle, shrinksTo: 10 },
  { title: "JOB", cell: (job) => `${job.workflow} / ${job.name}`, shrinksTo: 16 },
  { title: "REPOSITORY", cell: (job) => job.repository, shrinksTo: 12 },
];

function secondsCell(job: JobStatus): string {
  return job.runSeconds === null ? "" : durationText(job.runSeconds);
}
