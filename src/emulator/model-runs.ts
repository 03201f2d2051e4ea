import { cancelJob, completeJob, createJob, isFailure } from "./model-jobs.ts";
import type { Conclusion, Job, ModelState, Repository, Run } from "./model-state.ts";
import type { PlannedJob } from "./planned-job.ts";
import { GithubRefusal, notFound } from "./refusal.ts";

export interface RunRequest {
  readonly repositoryId: number;
  readonly workflowName: string;
  readonly workflowPath: string;
  readonly jobs: readonly PlannedJob[];
  readonly event?: string;
  readonly headBranch?: string;
  readonly headSha?: string;
  readonly title?: string;
  readonly actorLogin?: string;
  readonly foreign?: boolean;
}

/** Starts a run: its jobs without `needs` are queued at once, the others when their turn comes. */
export function startRun(state: ModelState, now: number, request: RunRequest): Run {
  const repository = state.repositories.get(request.repositoryId);
  if (repository === undefined) throw notFound();
  repository.runCount += 1;
  const run: Run = {
    id: state.identifiers.run++,
    repositoryId: repository.id,
    workflowId: workflowId(repository, request.workflowPath),
    workflowName: request.workflowName,
    workflowPath: request.workflowPath,
    number: repository.runCount,
    event: request.event ?? "push",
    headBranch: request.headBranch ?? repository.defaultBranch,
    headSha: request.headSha ?? Buffer.from(state.random.bytes(20)).toString("hex"),
    title: request.title ?? request.workflowName,
    actorLogin: request.actorLogin ?? "octocat",
    planned: request.jobs,
    current: request.jobs.map(() => undefined),
    jobIds: [],
    createdAt: now,
    foreign: request.foreign ?? false,
    attempt: 1,
    attemptStartedAt: now,
    updatedAt: now,
    status: "queued",
    conclusion: undefined,
    cancelRequested: false,
    failedMatrixKeys: new Set(),
  };
  state.runs.set(run.id, run);
  state.openRuns.set(run.id, run);
  advanceRun(state, now, run);
  return run;
}

/**
 * Does everything in a run that became possible: starts jobs whose needs are met, skips those that will never
 * run, cancels the rest of a failed matrix, and completes the run after its last job. Call it after every
 * change of one of its jobs.
 */
export function advanceRun(state: ModelState, now: number, run: Run): void {
  if (run.status === "completed") return;
  cancelFailedMatrices(state, now, run);
  for (let progressed = true; progressed; ) {
    progressed = false;
    for (const [position, planned] of run.planned.entries()) {
      if (run.current[position] !== undefined) continue;
      const turn = turnOf(run, planned);
      if (turn === "later") continue;
      run.current[position] = createJob(state, now, run, planned, turn === "now" ? undefined : turn);
      progressed = true;
    }
  }
  settleRun(state, run, now);
}

/** Starts every job of the run again. Refused with 403 while the run is still going. */
export function rerunRun(state: ModelState, now: number, run: Run): void {
  startAttempt(state, now, run, () => true);
}

/** Starts the failed jobs of the run again, and all jobs that depend on them. */
export function rerunFailedJobs(state: ModelState, now: number, run: Run): void {
  const unsuccessful = (job: Job | undefined): boolean =>
    job === undefined || isFailure(job) || job.conclusion === "cancelled";
  const keys = run.planned.filter((_, position) => unsuccessful(run.current[position])).map((job) => job.key);
  const dependents = dependentKeys(run, keys);
  startAttempt(state, now, run, (planned, job) => unsuccessful(job) || dependents.has(planned.key));
}

/** Starts one job of the run again, and all jobs that depend on it. */
export function rerunJob(state: ModelState, now: number, run: Run, job: Job): void {
  const dependents = dependentKeys(run, [job.planned.key]);
  startAttempt(state, now, run, (planned) => planned === job.planned || dependents.has(planned.key));
}

/** Asks all jobs of the run to end. Refused with 409 when the run is completed. */
export function cancelRun(state: ModelState, now: number, run: Run): void {
  if (run.status === "completed") {
    throw new GithubRefusal(409, "Cannot cancel a workflow run that is completed.");
  }
  run.cancelRequested = true;
  for (const job of run.current) if (job !== undefined) cancelJob(state, now, job);
  advanceRun(state, now, run);
}

/** Ends all jobs of the run at once, whatever their runners do. */
export function forceCancelRun(state: ModelState, now: number, run: Run): void {
  cancelRun(state, now, run);
  for (const job of run.current) {
    if (job !== undefined && job.status !== "completed") completeJob(state, now, job, "cancelled");
  }
  advanceRun(state, now, run);
}

/** The workflow's id: the same for every run of one file of one repository. */
export function workflowId(repository: Repository, path: string): number {
  let hash = 7;
  for (const character of `${repository.owner}/${repository.name}/${path}`) {
    hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 90_000_000;
  }
  return 10_000_000 + hash;
}

/** Whether a planned job runs now, later, or never (and then why). */
function turnOf(run: Run, planned: PlannedJob): "now" | "later" | Conclusion {
  const needed = run.planned.flatMap((other, position) =>
    planned.needs.includes(other.key) ? [run.current[position]] : [],
  );
  if (needed.some((job) => job === undefined || job.status !== "completed")) return "later";
  if (planned.reusableWorkflow !== undefined || planned.condition === "never") return "skipped";
  if (run.failedMatrixKeys.has(planned.key)) return "cancelled";
  if (run.cancelRequested) return planned.condition === "always" ? "now" : "cancelled";
  if (planned.condition !== "always") {
    const failed = needed.some((job) => job !== undefined && isFailure(job));
    const unmet = needed.some((job) => job !== undefined && !satisfies(job));
    if (planned.condition === "failure" ? !failed : unmet) return "skipped";
  }
  return maximumIsRunning(run, planned) ? "later" : "now";
}

/** A called workflow is shown as skipped because it cannot be run here; its dependents go on. */
function satisfies(job: Job): boolean {
  return (
    job.conclusion === "success" ||
    job.planned.reusableWorkflow !== undefined ||
    (job.conclusion === "failure" && job.planned.continueOnError)
  );
}

function maximumIsRunning(run: Run, planned: PlannedJob): boolean {
  if (planned.maxParallel === undefined) return false;
  const going = run.current.filter((job) => job?.planned.key === planned.key && job.status !== "completed");
  return going.length >= planned.maxParallel;
}

function cancelFailedMatrices(state: ModelState, now: number, run: Run): void {
  const keys = new Set<string>();
  for (const job of run.current) {
    if (job !== undefined && isFailure(job) && job.planned.failFast) keys.add(job.planned.key);
  }
  for (const key of keys) {
    if (run.failedMatrixKeys.has(key)) continue;
    run.failedMatrixKeys.add(key);
    for (const job of run.current) if (job?.planned.key === key) cancelJob(state, now, job);
  }
}

function settleRun(state: ModelState, run: Run, now: number): void {
  run.updatedAt = now;
  const jobs = run.current;
  if (jobs.every((job) => job?.status === "completed")) {
    run.status = "completed";
    state.openRuns.delete(run.id);
    run.conclusion = conclusionOf(run);
    return;
  }
  const hasStarted = (job: Job | undefined): boolean =>
    job?.startedAt !== undefined && job.attempt === run.attempt;
  if (jobs.some(hasStarted)) run.status = "in_progress";
  else if (jobs.some((job) => job?.status === "queued")) run.status = "queued";
  else if (jobs.some((job) => job?.status === "waiting")) run.status = "waiting";
}

function conclusionOf(run: Run): Conclusion {
  const jobs = run.current.filter((job) => job !== undefined);
  if (run.cancelRequested) return "cancelled";
  if (jobs.some((job) => isFailure(job))) return "failure";
  if (jobs.some((job) => job.conclusion === "cancelled")) return "cancelled";
  return jobs.every((job) => job.conclusion === "skipped") ? "skipped" : "success";
}

function startAttempt(
  state: ModelState,
  now: number,
  run: Run,
  runsAgain: (planned: PlannedJob, job: Job | undefined) => boolean,
): void {
  if (run.status !== "completed") {
    throw new GithubRefusal(403, "This workflow is already running");
  }
  if (now - run.createdAt > state.limits.rerunWindowDays * 86_400_000) {
    throw new GithubRefusal(
      403,
      "Unable to re-run this workflow run because it was created over a month ago.",
    );
  }
  if (run.attempt >= state.limits.attemptsPerRun) {
    throw new GithubRefusal(403, "This workflow run has reached its limit of attempts.");
  }
  run.attempt += 1;
  run.attemptStartedAt = now;
  run.status = "queued";
  state.openRuns.set(run.id, run);
  run.conclusion = undefined;
  run.cancelRequested = false;
  run.failedMatrixKeys.clear();
  for (const [position, planned] of run.planned.entries()) {
    if (runsAgain(planned, run.current[position])) run.current[position] = undefined;
  }
  advanceRun(state, now, run);
}

function dependentKeys(run: Run, keys: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [...keys];
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    for (const planned of run.planned) {
      if (!planned.needs.includes(key) || found.has(planned.key)) continue;
      found.add(planned.key);
      open.push(planned.key);
    }
  }
  return found;
}
