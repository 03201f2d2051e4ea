import { offerJob, withdrawJob } from "./model-assignment.ts";
import { announceJob } from "./model-deliveries.ts";
import { copyRunnerInto, releaseRunner, removeRunner } from "./model-runners.ts";
import {
  type Conclusion,
  happens,
  type Job,
  type JobStep,
  type ModelState,
  type Run,
} from "./model-state.ts";
import type { PlannedJob } from "./planned-job.ts";
import { GithubRefusal, notFound } from "./refusal.ts";

/**
 * One job. `run` and its other jobs are the business of model-runs.ts, which has to be told after every change.
 *
 *   (needs met) ─┬─▶ queued ───────picked up──▶ in_progress ──finished──▶ completed
 *                ├─▶ waiting ──approved──▶ queued    │ runner lost: failure after the lock
 *                └─▶ completed (skipped)             │ cancelled: runner ends it, or 5 minutes
 *                        queued for 24 h ──▶ completed (cancelled)
 */
export function createJob(
  state: ModelState,
  now: number,
  run: Run,
  planned: PlannedJob,
  concluded: Conclusion | undefined,
): Job {
  const job: Job = {
    id: state.identifiers.job++,
    runId: run.id,
    repositoryId: run.repositoryId,
    attempt: run.attempt,
    planned,
    createdAt: now,
    status: "queued",
    conclusion: undefined,
    queuedAt: undefined,
    startedAt: undefined,
    completedAt: undefined,
    runnerId: undefined,
    runnerName: undefined,
    runnerGroupId: undefined,
    runnerGroupName: undefined,
    cancelRequested: false,
    steps: [],
    outputs: {},
  };
  state.jobs.set(job.id, job);
  run.jobIds.push(job.id);
  if (concluded !== undefined) completeJob(state, now, job, concluded);
  else if (needsApproval(state, job)) holdForApproval(state, now, job);
  else queueJob(state, now, job);
  return job;
}

/** Lets a waiting job run. */
export function approveJob(state: ModelState, now: number, job: Job): void {
  if (job.status !== "waiting") throw new GithubRefusal(422, "The job does not wait for an approval.");
  queueJob(state, now, job);
}

/** Refuses a waiting job, which fails it. */
export function rejectJob(state: ModelState, now: number, job: Job): void {
  if (job.status !== "waiting") throw new GithubRefusal(422, "The job does not wait for an approval.");
  completeJob(state, now, job, "failure");
}

/** The runner starts the job that it was assigned. 404 when the job is not its own (any more). */
export function pickUpJob(state: ModelState, now: number, runnerId: number, job: Job): void {
  const runner = state.runners.get(runnerId);
  if (runner === undefined || runner.jobId !== job.id || job.status !== "queued") throw notFound();
  copyRunnerInto(state, job, runner);
  job.status = "in_progress";
  job.startedAt = now;
  job.steps = [{ ...openStep(1, "Set up job"), status: "in_progress", startedAt: now }];
  const { defaultJobTimeoutMinutes, jobTimeoutMaximumMinutes } = state.limits;
  const minutes = Math.min(job.planned.timeoutMinutes ?? defaultJobTimeoutMinutes, jobTimeoutMaximumMinutes);
  state.schedule.add(now + minutes * 60_000, { kind: "job-timeout-reached", jobId: job.id });
  announceJob(state, now, "in_progress", job);
}

export interface StepReport {
  readonly number: number;
  readonly name: string;
  readonly status: JobStep["status"];
  readonly conclusion?: JobStep["conclusion"];
}

/** The runner tells how far it is. Reports of a job that does not run any more are ignored. */
export function reportStep(now: number, job: Job, report: StepReport): void {
  if (job.status !== "in_progress") return;
  const earlier =
    job.steps.find((step) => step.number === report.number) ?? openStep(report.number, report.name);
  const completed = report.status === "completed";
  const step: JobStep = {
    ...earlier,
    status: report.status,
    conclusion: completed ? (report.conclusion ?? "success") : undefined,
    startedAt: earlier.startedAt ?? now,
    completedAt: completed ? now : undefined,
  };
  job.steps = [...job.steps.filter((other) => other.number !== step.number), step].sort(
    (one, other) => one.number - other.number,
  );
}

/** The runner has run the job; it is removed with it. 404 when the job is not its own (any more). */
export function finishJob(
  state: ModelState,
  now: number,
  runnerId: number,
  job: Job,
  conclusion: Conclusion,
  outputs: Readonly<Record<string, string>> = {},
): void {
  const runner = state.runners.get(runnerId);
  if (runner === undefined || runner.jobId !== job.id || job.status !== "in_progress") throw notFound();
  job.outputs = outputs;
  completeJob(state, now, job, job.cancelRequested && conclusion !== "success" ? "cancelled" : conclusion);
}

/** Ends a job, whatever state it is in. A runner that runs it is removed; one that was only offered it is free. */
export function completeJob(state: ModelState, now: number, job: Job, conclusion: Conclusion): void {
  const runner = job.runnerId === undefined ? undefined : state.runners.get(job.runnerId);
  const wasRunning = job.status === "in_progress";
  withdrawJob(state, job);
  job.status = "completed";
  job.conclusion = conclusion;
  job.completedAt = now;
  if (!wasRunning) job.runnerId = undefined;
  job.steps = job.steps.map((step) => closeStep(step, now, conclusion));
  announceJob(state, now, "completed", job);
  if (runner === undefined || runner.jobId !== job.id) return;
  if (wasRunning) removeRunner(state, runner, "job-done");
  else {
    state.effects.push({ kind: "job-cancelled", runnerId: runner.id, jobId: job.id });
    releaseRunner(state, now, runner);
  }
}

/** Cancels a job: at once while it does not run, otherwise its runner gets some minutes to end it. */
export function cancelJob(state: ModelState, now: number, job: Job): void {
  if (job.status === "completed" || job.cancelRequested) return;
  if (job.status !== "in_progress") {
    completeJob(state, now, job, "cancelled");
    return;
  }
  job.cancelRequested = true;
  if (job.runnerId !== undefined) {
    state.effects.push({ kind: "job-cancelled", runnerId: job.runnerId, jobId: job.id });
  }
  const at = now + state.limits.cancelTimeoutSeconds * 1000;
  state.schedule.add(at, { kind: "cancel-timeout-reached", jobId: job.id });
}

/** The runner did not pick the job up in time: both are free again, the job first. */
export function expirePickUp(state: ModelState, now: number, job: Job, runnerId: number): void {
  const runner = state.runners.get(runnerId);
  if (job.status !== "queued" || job.runnerId !== runnerId) return;
  job.runnerId = undefined;
  offerJob(state, now, job);
  if (runner !== undefined && runner.jobId === job.id) releaseRunner(state, now, runner);
}

/** Whether the job counts as failed for those that depend on it. */
export function isFailure(job: Job): boolean {
  const failed = job.conclusion === "failure" || job.conclusion === "timed_out";
  return failed && !job.planned.continueOnError;
}

function queueJob(state: ModelState, now: number, job: Job): void {
  job.status = "queued";
  job.queuedAt = now;
  const at = now + state.limits.queueLimitSeconds * 1000;
  state.schedule.add(at, { kind: "queue-limit-reached", jobId: job.id });
  announceJob(state, now, "queued", job);
  offerJob(state, now, job);
  if (happens(state.random, state.faults.jobTakenElsewhereFraction)) {
    const seconds = state.random.fraction() * strangerSecondsLimit;
    state.schedule.add(Math.ceil(now + seconds * 1000), { kind: "stranger-comes", jobId: job.id });
  }
}

/** As it is said in the faults. */
const strangerSecondsLimit = 300;

/** GitHub says both: an action `queued`, whose job is `queued` or already `waiting`, and an action `waiting`. */
function holdForApproval(state: ModelState, now: number, job: Job): void {
  if (job.id % 2 === 0) job.status = "waiting";
  announceJob(state, now, "queued", job);
  job.status = "waiting";
  announceJob(state, now, "waiting", job);
}

function needsApproval(state: ModelState, job: Job): boolean {
  const { environment } = job.planned;
  if (environment === undefined) return false;
  return state.repositories.get(job.repositoryId)?.protectedEnvironments.has(environment) ?? false;
}

function openStep(number: number, name: string): JobStep {
  return {
    number,
    name,
    status: "queued",
    conclusion: undefined,
    startedAt: undefined,
    completedAt: undefined,
  };
}

function closeStep(step: JobStep, now: number, conclusion: Conclusion): JobStep {
  if (step.status === "completed") return step;
  const stepConclusion = conclusion === "timed_out" ? "failure" : conclusion;
  return {
    ...step,
    status: "completed",
    conclusion: stepConclusion,
    startedAt: step.startedAt ?? now,
    completedAt: now,
  };
}
