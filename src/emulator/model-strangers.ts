import { assign } from "./model-assignment.ts";
import { finishJob, pickUpJob } from "./model-jobs.ts";
import { addRunner, refuseClosedScope } from "./model-runners.ts";
import type { Job, ModelState, Scope } from "./model-state.ts";
import { GithubRefusal } from "./refusal.ts";

/** How the runner of somebody else is called, who offers the same labels. */
export const strangerPrefix = "somebody-elses-";

const longestRunSeconds = 900;

/** A fault: somebody else's runner takes the job, if it still waits and no other runner was given it. */
export function takeByStranger(state: ModelState, now: number, job: Job): void {
  const repository = state.repositories.get(job.repositoryId);
  if (job.status !== "queued" || job.runnerId !== undefined || repository === undefined) return;
  const { owner, name } = repository;
  const scope: Scope = { kind: "repository", owner, name };
  try {
    refuseClosedScope(state, scope);
  } catch (error) {
    // Where nobody may have runners, a stranger has none either.
    if (!(error instanceof GithubRefusal)) throw error;
    return;
  }
  const runner = addRunner(state, now, scope, {
    name: `${strangerPrefix}${job.id}`,
    runnerGroupId: 1,
    labels: job.planned.labels,
  });
  runner.connected = true;
  runner.online = true;
  assign(state, now, job, runner);
  pickUpJob(state, now, runner.id, job);
  const seconds = 1 + state.random.fraction() * longestRunSeconds;
  const at = Math.ceil(now + seconds * 1000);
  state.schedule.add(at, { kind: "stranger-done", jobId: job.id, runnerId: runner.id });
}

/** The stranger has run the job, unless it was ended meanwhile. */
export function finishByStranger(state: ModelState, now: number, job: Job, runnerId: number): void {
  const isItsOwn = job.status === "in_progress" && state.runners.get(runnerId)?.jobId === job.id;
  if (isItsOwn) finishJob(state, now, runnerId, job, "success");
}
