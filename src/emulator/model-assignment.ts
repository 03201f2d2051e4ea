import {
  type IdleLine,
  type Job,
  type ModelState,
  pick,
  type QueueLine,
  type Repository,
  type Runner,
  scopeKey,
} from "./model-state.ts";

/**
 * How jobs meet runners. GitHub binds no runner to a job: any idle, online runner in reach that has all labels
 * of the job may get it. Both sides stand in lines of equals, so that a match compares lines, not entries.
 *
 *   job queued ───▶ a matching idle runner? ──▶ assigned ──▶ picked up within 60 s? ──▶ in_progress
 *   runner idle ──▶ the oldest matching job? ──▶ assigned          └─ no ──▶ queued again, runner offline
 */
export function offerJob(state: ModelState, now: number, job: Job): void {
  const line = queueLineOf(state, job);
  const candidates = [...state.idleLines.values()].filter((idle) => matches(state, idle, line));
  const runner = firstOf(pick(state.random, candidates)?.runners);
  if (runner === undefined) line.jobs.set(job.id, job);
  else assign(state, now, job, runner);
}

/** An online runner without a job gets the oldest matching job, or waits in its line. */
export function offerRunner(state: ModelState, now: number, runner: Runner): void {
  const idle = idleLineOf(state, runner);
  let oldest: Job | undefined;
  for (const line of state.queueLines.values()) {
    const job = firstOf(line.jobs);
    if (job === undefined || !matches(state, idle, line)) continue;
    if (oldest === undefined || (job.queuedAt ?? 0) < (oldest.queuedAt ?? 0)) oldest = job;
  }
  if (oldest === undefined) idle.runners.set(runner.id, runner);
  else assign(state, now, oldest, runner);
}

/** The runner is not available any more. Does nothing when it was not. */
export function withdrawRunner(state: ModelState, runner: Runner): void {
  const key = idleLineKey(runner);
  const line = state.idleLines.get(key);
  line?.runners.delete(runner.id);
  if (line?.runners.size === 0) state.idleLines.delete(key);
}

/** The job does not wait for a runner any more. Does nothing when it did not. */
export function withdrawJob(state: ModelState, job: Job): void {
  const key = queueLineKey(job);
  const line = state.queueLines.get(key);
  line?.jobs.delete(job.id);
  if (line?.jobs.size === 0) state.queueLines.delete(key);
}

/** Gives the job to the runner, whether or not others wait. The runner has to pick it up in time. */
export function assign(state: ModelState, now: number, job: Job, runner: Runner): void {
  withdrawJob(state, job);
  withdrawRunner(state, runner);
  job.runnerId = runner.id;
  runner.jobId = job.id;
  runner.idleSince = undefined;
  const at = now + state.limits.pickUpTimeoutSeconds * 1000;
  state.schedule.add(at, { kind: "pick-up-expired", jobId: job.id, runnerId: runner.id });
  state.effects.push({ kind: "job-assigned", runnerId: runner.id, jobId: job.id });
}

/** Whether a runner of this organisation's or repository's group may run jobs of the repository. */
export function isInReach(
  state: ModelState,
  runner: Pick<Runner, "scope" | "groupId">,
  repository: Repository,
): boolean {
  if (!repository.actionsEnabled) return false;
  if (runner.scope.owner.toLowerCase() !== repository.owner.toLowerCase()) return false;
  if (runner.scope.kind === "repository") {
    return runner.scope.name.toLowerCase() === repository.name.toLowerCase();
  }
  const group = state.runnerGroups.get(runner.groupId);
  if (group === undefined) return false;
  if (!repository.private && !group.allowsPublicRepositories) return false;
  if (group.visibility === "selected") return group.selectedRepositoryIds.has(repository.id);
  return group.visibility === "all" || repository.private;
}

function matches(state: ModelState, idle: IdleLine, line: QueueLine): boolean {
  if (!line.labels.every((label) => idle.labels.has(label))) return false;
  const repository = state.repositories.get(line.repositoryId);
  if (repository === undefined || !isInReach(state, idle, repository)) return false;
  if (line.runnerGroup === undefined) return true;
  return state.runnerGroups.get(idle.groupId)?.name.toLowerCase() === line.runnerGroup;
}

function idleLineOf(state: ModelState, runner: Runner): IdleLine {
  const key = idleLineKey(runner);
  let line = state.idleLines.get(key);
  if (line === undefined) {
    const labels = new Set(runner.labels.map((label) => label.toLowerCase()));
    line = { scope: runner.scope, groupId: runner.groupId, labels, runners: new Map() };
    state.idleLines.set(key, line);
  }
  return line;
}

function queueLineOf(state: ModelState, job: Job): QueueLine {
  const key = queueLineKey(job);
  let line = state.queueLines.get(key);
  if (line === undefined) {
    line = {
      repositoryId: job.repositoryId,
      runnerGroup: job.planned.runnerGroup?.toLowerCase(),
      labels: job.planned.labels.map((label) => label.toLowerCase()),
      jobs: new Map(),
    };
    state.queueLines.set(key, line);
  }
  return line;
}

function idleLineKey(runner: Runner): string {
  return JSON.stringify([scopeKey(runner.scope), runner.groupId, sortedLowerCase(runner.labels)]);
}

function queueLineKey(job: Job): string {
  const { labels, runnerGroup } = job.planned;
  return JSON.stringify([job.repositoryId, runnerGroup?.toLowerCase() ?? null, sortedLowerCase(labels)]);
}

function sortedLowerCase(labels: readonly string[]): readonly string[] {
  return labels.map((label) => label.toLowerCase()).sort();
}

function firstOf<Value>(values: ReadonlyMap<number, Value> | undefined): Value | undefined {
  return values?.values().next().value;
}
