import { canServe, isPresumedRunning } from "./demand.ts";
import type { MachineEvent } from "./lifecycle.ts";
import type { Instant, Job, JobEvent, JobId, Ledger, Machine } from "./model.ts";

/**
 * Which job a machine runs, while only half of it has been said: a machine knows that it runs a job and not which,
 * GitHub knows which and its event may be late or lost. What is presumed here keeps a job from getting a second
 * machine until GitHub has been asked (`isPresumedRunning`); it never ends or starts anything.
 */

/** What an event of a machine says about a job. Absent: nothing. */
export function jobNoted(
  ledger: Ledger,
  machine: Machine,
  event: MachineEvent,
  at: Instant,
): Job | undefined {
  return jobOfListener(ledger, machine, event, at) ?? jobOfRunner(ledger, machine, event, at);
}

/** What GitHub's word on one job says about another: the one that this machine had claimed. Absent: nothing. */
export function jobAttributed(ledger: Ledger, runner: Machine | undefined, event: JobEvent): Job | undefined {
  return takenByUnnamed(ledger, runner, event) ?? claimedButNotRun(ledger, runner, event.id);
}

/** When a runner listens, the job that its machine claimed notes it: GitHub's part of the wait begins there. */
function jobOfListener(ledger: Ledger, machine: Machine, event: MachineEvent, at: Instant): Job | undefined {
  if (event.kind !== "listening") return undefined;
  const job = ledger.jobs.find((entry) => entry.id === machine.binding?.jobId);
  if (job === undefined || job.times.online !== undefined) return undefined;
  return { ...job, times: { ...job.times, online: at } };
}

/**
 * When a machine says that it runs a job and not which, that is presumed to be the job that it claimed, or the one that
 * was left over when GitHub gave that to another machine.
 *
 * ```
 *   machine A claimed 1, machine B claimed 2        GitHub gives 1 to B and 2 to A
 *   "2 runs on A"  ──▶ 1 is free again              B: "I run a job" ──▶ it is 1, and no third machine is needed
 * ```
 */
function jobOfRunner(ledger: Ledger, machine: Machine, event: MachineEvent, at: Instant): Job | undefined {
  if (event.kind === "job-started" && event.jobId !== undefined) {
    return claimedButNotRun(ledger, machine, event.jobId);
  }
  const runs = event.kind === "job-started" || (event.kind === "exited" && event.ranJob);
  if (!runs || machine.jobId !== undefined) return undefined;
  const claimed = ledger.jobs.find((entry) => entry.id === machine.binding?.jobId);
  const job = claimed?.state === "queued" ? claimed : leftOver(ledger, machine);
  return job === undefined ? undefined : { ...job, presumedAt: at };
}

/** A queued job whose own machine runs another one, and which this machine's runner may be given instead. */
function leftOver(ledger: Ledger, machine: Machine): Job | undefined {
  return ledger.jobs.find((job) => {
    if (job.state !== "queued" || isPresumedRunning(job) || !canServe(machine, job)) return false;
    const own = ledger.machines.find((entry) => entry.id === job.machineId);
    return own?.jobId !== undefined && own.jobId !== job.id;
  });
}

/** The job that `runner` claimed, when the machine that claimed the one it runs has said that it runs a job too. */
function takenByUnnamed(ledger: Ledger, runner: Machine | undefined, event: JobEvent): Job | undefined {
  const other = ledger.machines.find(
    ({ id, binding, jobId, times }) =>
      binding?.jobId === event.id && id !== runner?.id && times.started !== undefined && jobId === undefined,
  );
  const job = ledger.jobs.find((entry) => entry.id === runner?.binding?.jobId && entry.id !== event.id);
  if (other === undefined || job?.state !== "queued" || !canServe(other, job)) return undefined;
  return { ...job, presumedAt: job.presumedAt ?? other.times.started ?? event.receivedAt };
}

/** The job that a machine claimed and was presumed to run, when GitHub says that it ran another one. */
function claimedButNotRun(ledger: Ledger, machine: Machine | undefined, ran: JobId): Job | undefined {
  const claimed = machine?.binding?.jobId;
  const job = claimed === ran ? undefined : ledger.jobs.find((entry) => entry.id === claimed);
  if (job?.presumedAt === undefined) return undefined;
  const { presumedAt: _, ...freed } = job;
  return freed;
}
