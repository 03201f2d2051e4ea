import type { FleetRecord, Instant, Job, JobEvent, JobId, Loss, Machine, Policy, Rerun } from "./model.ts";

/**
 * Jobs that were lost with their machines, and what becomes of them.
 *
 * ```
 *   notice ──▶ the job goes on ──┬─▶ it ends in time                             nothing was lost
 *                                └─▶ it is stopped, or cut off: `failure`        undecided
 *                                        │ its machine has ended: it was lost, or it failed by itself
 *                                        │ its run goes on: GitHub starts nothing again before it has ended
 *                                        ▼
 *                                    the run has ended ──▶ its lost jobs are run again, as its next attempt
 * ```
 */

/** Whether it is settled what becomes of the job: it has ended, and nothing has to be decided about it. */
export function isSettled(job: Job): boolean {
  return job.state === "done" && job.loss?.kind !== "undecided";
}

/** A job that has just ended, kept in the ledger until it is known whether it was lost. The same object if it was not. */
export function keptIfLost(job: Job, machine: Machine | undefined, now: Instant): Job {
  if (machine === undefined || !hasFailed(job) || job.loss !== undefined) return job;
  const mayBe = machine.purchase === "spot" || machine.interruptedAt !== undefined;
  if (!mayBe || machine.exitCode === 0) return job;
  return { ...job, loss: { kind: "undecided", since: now, lookAt: now } };
}

/**
 * Whether the machine, which has ended, took the job down with it. A job that failed by itself does not count, also on a
 * machine that was to be taken: then its listener ended well. A spot machine that vanished without a word was taken too,
 * as notices are not certain. A cancelled job was cancelled by somebody: a listener that is stopped makes its job fail.
 */
export function wasLost(job: Job, machine: Machine): boolean {
  const { exitCode, interruptedAt, purchase, reason } = machine;
  if (!hasFailed(job) || exitCode === 0) return false;
  if (interruptedAt === undefined) return purchase === "spot" && reason === "lost";
  return exitCode !== undefined || interruptedAt <= (job.times.completed ?? 0);
}

function hasFailed({ outcome }: Job): boolean {
  return outcome?.kind === "completed" && outcome.conclusion === "failure";
}

// ------------------------------------------------------------------------------------------------ a run that ended

export interface LostJob {
  readonly job: Job;
  /** How often it was run again already because it was lost. */
  readonly times: number;
}

/**
 * What to do about the lost jobs of a run that has ended. Each is in exactly one of the lists. One job is run again by
 * itself; where others are to go with it, all failed and cancelled jobs of the run are, because GitHub starts one
 * attempt at a time.
 */
export interface RerunDecision {
  readonly start: { readonly which: "failed-jobs" | JobId; readonly jobs: readonly Job[] } | undefined;
  readonly settled: readonly { readonly job: Job; readonly loss: Exclude<Loss, { kind: "undecided" }> }[];
}

/** `newest`: the jobs of the run, each with its newest attempt. */
export function decideRerun(
  run: { readonly attempt: number; readonly conclusion?: string },
  newest: readonly JobEvent[],
  lost: readonly LostJob[],
  policy: Policy,
  now: Instant,
): RerunDecision {
  const settled: RerunDecision["settled"][number][] = [];
  const due: { job: Job; id: JobId }[] = [];
  const leave = (job: Job, detail: string): void => {
    settled.push({ job, loss: { kind: "left", at: now, detail } });
  };
  for (const { job, times } of lost) {
    const current = newest.find(({ id }) => id === job.id) ?? newest.find(({ name }) => name === job.name);
    if (current !== undefined && ranSince(current, job)) {
      const { runAttempt: attempt } = current;
      const detail = `Its run was started again, as attempt ${attempt}.`;
      settled.push({ job, loss: { kind: "replaced", at: now, attempt, detail } });
    } else if (run.conclusion === "cancelled") leave(job, "Its run was cancelled, so it is not run again.");
    else if (times < policy.rerunsPerJob) due.push({ job, id: current?.id ?? job.id });
    else if (times === 0) leave(job, "It is not run again: interruptions.rerunsPerJob is 0.");
    else leave(job, `It is not run again: that was done ${times} times already.`);
  }
  const [only] = due;
  if (only === undefined) return { start: undefined, settled };
  // When one job of a matrix fails, GitHub cancels the others: they are to be run again with it.
  const alone = due.length === 1 && !newest.some((event) => event.conclusion === "cancelled");
  const which = alone ? only.id : "failed-jobs";
  return { start: { which, jobs: due.map(({ job }) => job) }, settled };
}

/** A later attempt in which the job was run again; not one that only shows what came of the job before. */
function ranSince(current: JobEvent, job: Job): boolean {
  if (current.runAttempt <= job.runAttempt) return false;
  return current.action !== "completed" || (current.startedAt ?? 0) > (job.times.completed ?? 0);
}

/**
 * Until a run has ended it is looked at again and again: in the next round, then after 1, 2, 4, 8, 15, 15, … minutes,
 * for three days. Undefined: no more.
 */
export function nextLook(since: Instant, now: Instant): Instant | undefined {
  const waitedSeconds = (now - since) / 1000;
  if (waitedSeconds > 3 * 24 * 60 * 60) return undefined;
  return now + Math.min(waitedSeconds, 900) * 1000;
}

// --------------------------------------------------------------------------------------- what a fleet remembers

const rememberedMilliseconds = 7 * 24 * 60 * 60 * 1000;
const rememberedLimit = 200;

/** How often the job was run again because it was lost, in all attempts of its run. */
export function timesRerun(record: FleetRecord | undefined, job: Job): number {
  return rerunOf(record, job)?.times ?? 0;
}

/**
 * The record with the intent to run a lost job again. Written before GitHub is asked, so that the new job is known for
 * what it is when it comes; to write it twice for the same job changes nothing.
 */
export function rememberRerun(record: FleetRecord, job: Job, now: Instant): FleetRecord {
  const before = rerunOf(record, job);
  if (before?.jobId === job.id) return record;
  const { runId, name: jobName, id: jobId } = job;
  const entry: Rerun = { runId, jobName, jobId, times: (before?.times ?? 0) + 1, at: now };
  const kept = (record.reruns ?? []).filter(
    (other) => other !== before && other.at + rememberedMilliseconds > now,
  );
  return { ...record, reruns: [...kept, entry].slice(-rememberedLimit) };
}

/** The lost job for which this one stands, if it does. */
export function standsFor(record: FleetRecord | undefined, job: Job): JobId | undefined {
  const lost = job.runAttempt > 1 ? rerunOf(record, job)?.jobId : undefined;
  return lost === job.id ? undefined : lost;
}

/** The names of jobs are what the attempts of a run have in common. */
function rerunOf(record: FleetRecord | undefined, job: Job): Rerun | undefined {
  return record?.reruns?.find((entry) => entry.runId === job.runId && entry.jobName === job.name);
}

/**
 * How many of `count` machines are bought on demand because that many jobs were lost before and would rather not be lost
 * again: as many as have no such machine on its way yet. None where only spot is allowed.
 */
export function onDemandForReruns(
  record: FleetRecord | undefined,
  waiting: readonly Job[],
  onTheirWay: readonly Pick<Machine, "purchase">[],
  count: number,
): number {
  if (record?.spec.market !== "spot-preferred") return 0;
  const wanted = waiting.filter((job) => standsFor(record, job) !== undefined).length;
  const coming = onTheirWay.filter((machine) => machine.purchase === "on-demand").length;
  return Math.min(count, Math.max(0, wanted - coming));
}
