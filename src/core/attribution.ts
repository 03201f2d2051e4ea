import { canServe, demandOf, isPresumedRunning } from "./demand.ts";
import type { MachineEvent } from "./lifecycle.ts";
import type { Instant, Job, JobEvent, Ledger, Machine } from "./model.ts";

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

/**
 * What GitHub's word on one job says about another. Absent: nothing.
 *
 * GitHub gives jobs to runners as it likes, so jobs and machines may be crossed in long chains; they are counted, not
 * followed. As many jobs are presumed to run as machines run a job without a name: when one of these gets its name, the
 * job that was presumed on its account is free again, unless there is another such machine on whose account none is.
 */
export function jobAttributed(ledger: Ledger, runner: Machine | undefined, event: JobEvent): Job | undefined {
  if (runner === undefined) return undefined;
  const others = ledger.jobs.filter((job) => job.state === "queued" && job.id !== event.id);
  const own = others.find((job) => isPresumedOf(job, runner));
  const free = own === undefined ? undefined : freed(own);
  const nameless = ledger.machines
    .filter((machine) => machine.id !== runner.id)
    .flatMap(withUnnamedJob)
    .filter(({ machine }) => !others.some((job) => isPresumedRunning(job) && isPresumedOf(job, machine)));
  if (nameless.length === 0) return free;
  // Its own start was not reported: while it was free, it counted as the machine of another job.
  const jobs = ledger.jobs.filter((entry) => entry.id !== event.id);
  const job = own ?? leftOver({ ...ledger, jobs }, runner);
  if (job === undefined) return undefined;
  const heir = nameless.find(({ machine, since }) => canServe(machine, job) && mayHaveBegun(job, since));
  return heir === undefined ? free : presumed(job, heir.machine, heir.since);
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
 * would get no machine any more now that this one is taken.
 *
 * ```
 *   machine A claimed 1, machine B claimed 2        GitHub gives 1 to B and 2 to A
 *   "2 runs on A"  ──▶ 1 is free again              B: "I run a job" ──▶ it is 1, and no third machine is needed
 * ```
 */
function jobOfRunner(ledger: Ledger, machine: Machine, event: MachineEvent, at: Instant): Job | undefined {
  if ("jobId" in event) {
    const claimed = ledger.jobs.find((job) => job.state === "queued" && isPresumedOf(job, machine));
    return claimed === undefined || claimed.id === event.jobId ? undefined : freed(claimed);
  }
  // A job whose start was reported has been presumed then. GitHub may have been asked since, and its word stands.
  const wasSilent = machine.times.started === undefined;
  const runs = event.kind === "job-started" || (event.kind === "exited" && event.ranJob && wasSilent);
  if (!runs || machine.jobId !== undefined) return undefined;
  const claimed = ledger.jobs.find((entry) => entry.id === machine.binding?.jobId);
  const isFree = claimed?.state === "queued" && !isPresumedRunning(claimed);
  const job = isFree ? claimed : leftOver(ledger, machine);
  return job === undefined ? undefined : presumed(job, machine, at);
}

/** The job that had a machine as long as this one was free, and has none now. */
function leftOver(ledger: Ledger, taken: Machine): Job | undefined {
  const machines = ledger.machines.filter((machine) => machine.id !== taken.id);
  const before = new Set(demandOf(ledger).unserved.map((job) => job.id));
  return demandOf({ ...ledger, machines }).unserved.find(
    (job) => !before.has(job.id) && canServe(taken, job),
  );
}

/** GitHub's clock and those of machines are not the same. */
const clockMarginMilliseconds = 60_000;

/** Whether the job was there when a machine began to run one: what came later is another. */
function mayHaveBegun(job: Job, since: Instant): boolean {
  return job.times.created <= since + clockMarginMilliseconds;
}

/** On whose account a job is presumed to run: that need not be the machine that claimed it. */
function isPresumedOf(job: Job, machine: Machine): boolean {
  return job.presumedOn === machine.id;
}

/** The machine, if it has said that it runs or ran a job and GitHub has not said which. */
function withUnnamedJob(machine: Machine): readonly { readonly machine: Machine; readonly since: Instant }[] {
  const since = machine.times.started ?? machine.times.finished;
  return machine.jobId === undefined && since !== undefined ? [{ machine, since }] : [];
}

function presumed(job: Job, machine: Machine, at: Instant): Job {
  return { ...job, presumedAt: at, presumedOn: machine.id };
}

function freed(job: Job): Job {
  const { presumedAt: _, presumedOn: __, ...free } = job;
  return free;
}
