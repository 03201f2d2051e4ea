import { isPresumedRunning } from "./demand.ts";
import { jobEndMissed } from "./lifecycle.ts";
import {
  fullName,
  type Instant,
  type Job,
  type JobId,
  type Ledger,
  type Machine,
  type Policy,
} from "./model.ts";

/** One delivery attempt in GitHub's log, as far as the decision needs it. */
export interface DeliveryAttempt {
  readonly id: number;
  /** The same for every attempt at one delivery. */
  readonly guid: string;
  readonly deliveredAt: Instant;
  readonly succeeded: boolean;
  readonly event: string;
}

/** After so many failed attempts a delivery is left alone: the sweep over queued jobs finds what it would have told. */
const attemptsLimit = 4;

/**
 * Deliveries that never succeeded, one attempt of each, oldest first. GitHub does not redeliver by itself, and its
 * log holds all attempts with the same GUID, so nothing has to be remembered here. A delivery is left alone for
 * `settleSeconds` after its newest attempt: that one may still be on its way.
 */
export function deliveriesToRedeliver(
  attempts: readonly DeliveryAttempt[],
  now: Instant,
  settleSeconds: number,
): readonly DeliveryAttempt[] {
  // Seldom has any failed, and the list may be long.
  if (attempts.every(({ succeeded }) => succeeded)) return [];
  const byGuid = new Map<string, DeliveryAttempt[]>();
  for (const attempt of attempts) {
    const known = byGuid.get(attempt.guid);
    if (known === undefined) byGuid.set(attempt.guid, [attempt]);
    else known.push(attempt);
  }
  const due: DeliveryAttempt[] = [];
  for (const group of byGuid.values()) {
    const newest = group.reduce((left, right) => (right.deliveredAt > left.deliveredAt ? right : left));
    if (newest.event !== "workflow_job" || group.length >= attemptsLimit) continue;
    if (group.some((attempt) => attempt.succeeded)) continue;
    if (newest.deliveredAt + settleSeconds * 1000 <= now) due.push(newest);
  }
  return due.sort((left, right) => left.deliveredAt - right.deliveredAt);
}

/**
 * Jobs of all fleets that GitHub should be asked about, because its events may be lost, the most pressing first:
 * - queued, while the machine that claimed it said some seconds ago that it runs a job;
 * - running, while its machine is gone or is none that we know;
 * - waiting, queued or running, and nothing was heard of it for `jobCheckSeconds`.
 *
 * Of one that is in GitHub's list of open jobs (`listed`) the same would be heard again, unless its machine says that it
 * runs or it should have ended long since.
 *
 * Within each kind those asked about longest ago come first, so that no fleet and no job that GitHub does not answer
 * for keeps the others from their turn.
 */
export function jobsToCheck(
  ledgers: readonly Ledger[],
  policy: Policy,
  now: Instant,
  listed: ReadonlySet<JobId>,
): readonly Job[] {
  const urgent: Job[] = [];
  const stale: Job[] = [];
  for (const ledger of ledgers) {
    const machines = ledger.machines.filter((machine) => machine.times.finished === undefined);
    const busy = new Set(machines.map((machine) => machine.jobId));
    for (const job of ledger.jobs) {
      if (job.state === "done" || (listed.has(job.id) && isToldByList(job, now))) continue;
      if (isPressing(job, busy.has(job.id), now)) urgent.push(job);
      else if (isStale(job, policy, now)) stale.push(job);
    }
  }
  return [...urgent.sort(longestUnasked), ...stale.sort(longestUnasked)];
}

/** Whether it says as much of an open job that GitHub lists it as GitHub's answer about it would. */
function isToldByList(job: Job, now: Instant): boolean {
  return !isPresumedRunning(job) && jobEndMissed(job, now) === job;
}

function isPressing(job: Job, hasMachine: boolean, now: Instant): boolean {
  // GitHub's own event is on its way. To ask before it would free a job that another machine may be running.
  if (isPresumedRunning(job)) return job.presumedAt + eventMilliseconds <= now;
  return job.state === "running" && !hasMachine && heardAt(job) + urgentMilliseconds <= now;
}

function isStale(job: Job, policy: Policy, now: Instant): boolean {
  return !isPresumedRunning(job) && heardAt(job) + policy.timing.jobCheckSeconds * 1000 <= now;
}

function heardAt(job: Job): Instant {
  return Math.max(job.checkedAt ?? 0, job.times.received, job.times.started ?? 0);
}

function longestUnasked(left: Job, right: Job): number {
  return (left.checkedAt ?? 0) - (right.checkedAt ?? 0);
}

/** Machines that have run a job for `jobCheckSeconds`, and none that the ledger knows to be running. */
export function machinesToCheck(ledger: Ledger, policy: Policy, now: Instant): readonly Machine[] {
  const jobs = ledger.jobs.filter((job) => job.state === "running");
  const running = new Set<JobId | undefined>(jobs.map((job) => job.id));
  return ledger.machines.filter(({ state, jobId, times }) => {
    const isSettled = (times.started ?? now) + policy.timing.jobCheckSeconds * 1000 <= now;
    return state === "busy" && isSettled && !running.has(jobId);
  });
}

/**
 * Jobs that are queued as far as we know, except those about which GitHub was asked a short while ago. In the first
 * round of a process none is left out: what was asked before it started says nothing of the time when nobody listened.
 */
export function believedQueued(
  ledger: Ledger,
  policy: Policy,
  now: Instant,
  isFirst: boolean,
): readonly Job[] {
  const queued = ledger.jobs.filter((job) => job.state === "queued");
  if (isFirst) return queued;
  const checkMilliseconds = policy.timing.jobCheckSeconds * 1000;
  return queued.filter((job) => (job.checkedAt ?? Number.NEGATIVE_INFINITY) + checkMilliseconds <= now);
}

/** Of these, the ones of this repository that GitHub's list of its queued jobs lacks. */
export function missingJobs(
  believed: readonly Job[],
  repository: { readonly owner: string; readonly name: string },
  listed: readonly { readonly id: JobId }[],
): readonly Job[] {
  const name = fullName(repository).toLowerCase();
  const ids = new Set(listed.map(({ id }) => id));
  return believed.filter((job) => fullName(job.repository).toLowerCase() === name && !ids.has(job.id));
}

/** GitHub needs a while until it says of a job that its runner is gone; asking more often tells nothing new. */
const urgentMilliseconds = 30_000;
/** An event that is not late is here by then. */
const eventMilliseconds = 10_000;

/**
 * A job as it is after GitHub was asked about it, and said nothing new or did not answer. One that a machine began to
 * run a moment ago, while others were asked about, is presumed to run all the same.
 */
export function jobChecked(job: Job, now: Instant): Job {
  if (isPresumedRunning(job) && job.presumedAt + eventMilliseconds > now) return job;
  return { ...job, checkedAt: now };
}
