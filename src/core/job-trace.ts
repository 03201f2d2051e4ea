import { fullName, type Instant, type Job, type JobEvent } from "./model.ts";

/**
 * A job as it happened, reduced to what a replay needs: when GitHub queued it, how long it ran, what it asked for.
 * A trace is a file of such jobs, one JSON object a line:
 *
 *   {"queued_at":"2026-01-05T08:00:12.000Z","duration":184.2,"labels":["self-hosted","linux"],"repository":"acme/app"}
 */
export interface TracedJob {
  readonly queuedAt: Instant;
  readonly durationSeconds: number;
  readonly labels: readonly string[];
  /** `owner/name` */
  readonly repository: string;
}

/** Something that is wrong with a line, counted from 1. The sentence says what would be right. */
export interface TraceProblem {
  readonly line: number;
  readonly sentence: string;
}

export const traceLimits = {
  bytes: 64 * 1024 * 1024,
  jobs: 100_000,
  /** Between the first and the last job of a trace. */
  days: 31,
  labels: 100,
  labelLength: 256,
  /** GitHub ends a job on a self-hosted runner after 5 days. */
  durationSeconds: 5 * 86_400,
} as const;

/** More would not help: a file that is no trace has one in every line. */
const problemsListed = 10;

/**
 * The jobs of a trace in the order in which they were queued. Empty lines and fields that are not known are skipped,
 * so that a trace may say more than is needed. With any problem there are no jobs. Never throws.
 */
export function parseJobTrace(text: string): {
  readonly jobs: readonly TracedJob[];
  readonly problems: readonly TraceProblem[];
} {
  const read: { readonly line: number; readonly job: TracedJob }[] = [];
  const problems: TraceProblem[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const job = parseLine(line);
    if (typeof job === "string") problems.push({ line: index + 1, sentence: job });
    else read.push({ line: index + 1, job });
    if (problems.length === problemsListed || read.length > traceLimits.jobs) break;
  }
  read.sort((one, other) => one.job.queuedAt - other.job.queuedAt);
  if (problems.length === 0) problems.push(...sizeProblems(read));
  return { jobs: problems.length === 0 ? read.map(({ job }) => job) : [], problems };
}

function sizeProblems(
  read: readonly { readonly line: number; readonly job: TracedJob }[],
): readonly TraceProblem[] {
  const [first] = read;
  if (first === undefined) {
    return [{ line: 1, sentence: "There is no job. Write one on each line." }];
  }
  if (read.length > traceLimits.jobs) {
    return [
      {
        line: traceLimits.jobs + 1,
        sentence: `There are more than ${traceLimits.jobs} jobs. Cut the file into several.`,
      },
    ];
  }
  const last = read.at(-1) ?? first;
  const days = (last.job.queuedAt - first.job.queuedAt) / 86_400_000;
  if (days <= traceLimits.days) return [];
  const sentence = `It was queued ${Math.round(days)} days after the job of line ${first.line}, and a trace has at most ${traceLimits.days} days. Cut the file into several.`;
  return [{ line: last.line, sentence }];
}

/** The fields of a line. */
export interface TraceRecord {
  readonly queued_at: string;
  readonly duration: number;
  readonly labels: readonly string[];
  readonly repository: string;
}

/** What `parseJobTrace` reads the very same job from, as JSON on one line. */
export function traceRecord(job: TracedJob): TraceRecord {
  const { queuedAt, durationSeconds, labels, repository } = job;
  return { queued_at: new Date(queuedAt).toISOString(), duration: durationSeconds, labels, repository };
}

/** What the ledger knows of a job that ran; undefined for one that never started, or whose end is not known. */
export function tracedJob({ times, labels, repository, outcome }: Job): TracedJob | undefined {
  const { started, completed } = times;
  if (started === undefined || completed === undefined || outcome?.kind === "given-up") return undefined;
  return traced(times.queued ?? times.created, started, completed, labels, fullName(repository));
}

/** The same for what GitHub says of a job. */
export function tracedEvent(event: JobEvent): TracedJob | undefined {
  const { startedAt, completedAt, labels, repository } = event;
  // A job that was skipped, or cancelled while it waited, has no runner and ran on nothing.
  if (startedAt === undefined || completedAt === undefined || event.runnerName === undefined)
    return undefined;
  return traced(event.createdAt, startedAt, completedAt, labels, fullName(repository));
}

function traced(
  queuedAt: Instant,
  started: Instant,
  completed: Instant,
  labels: readonly string[],
  repository: string,
): TracedJob {
  const milliseconds = Math.min(Math.max(0, completed - started), traceLimits.durationSeconds * 1000);
  return { queuedAt, durationSeconds: milliseconds / 1000, labels, repository };
}

// ------------------------------------------------------------------------------------------- one line

/** The job, or the sentence that says what is wrong. */
function parseLine(line: string): TracedJob | string {
  const value = parseObject(line);
  if (value === undefined) {
    return 'It is not a JSON object. Write {"queued_at": …, "duration": …, "labels": […], "repository": …} on one line.';
  }
  const queuedAt = instantOf(value.queued_at);
  if (queuedAt === undefined) {
    return 'queued_at must be an instant with its time zone. Write it like "2026-01-05T08:00:12Z".';
  }
  const { duration, labels, repository } = value;
  if (typeof duration !== "number" || !(duration >= 0 && duration <= traceLimits.durationSeconds)) {
    return `duration must be a number of seconds. Write one from 0 to ${traceLimits.durationSeconds}.`;
  }
  if (!Array.isArray(labels) || labels.length > traceLimits.labels || !labels.every(isLabel)) {
    return `labels must be a list of texts. Write at most ${traceLimits.labels} labels of at most ${traceLimits.labelLength} characters, like ["self-hosted", "linux"].`;
  }
  if (typeof repository !== "string" || !/^[\w-]{1,100}\/(?!\.{1,2}$)[\w.-]{1,100}$/.test(repository)) {
    return 'repository must be the full name of one. Write it like "acme/app".';
  }
  return { queuedAt, durationSeconds: duration, labels, repository };
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return value as Readonly<Record<string, unknown>>;
  } catch {
    // No JSON: the caller says so.
    return undefined;
  }
}

/** ISO 8601 with a time zone: without one, the same file would mean something else on another machine. */
function instantOf(value: unknown): Instant | undefined {
  if (typeof value !== "string") return undefined;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.test(value)) return undefined;
  const instant = Date.parse(value);
  return Number.isNaN(instant) ? undefined : instant;
}

function isLabel(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= traceLimits.labelLength;
}
