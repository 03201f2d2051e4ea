import { repositoryCounter } from "./counters.ts";
import { demandOf, scopeOf, warmTargetOf } from "./demand.ts";
import {
  type Binding,
  fullName,
  type Instant,
  type Job,
  type Ledger,
  type Machine,
  type Policy,
} from "./model.ts";

/**
 * What a machine that asks "what am I for?" is told.
 *
 * - `bind`: register it for this job. `earlier` says that a registration may exist from an earlier answer, which
 *   has to be removed first; GitHub refuses that once a job runs, so there is never a second one.
 * - `wait`: ask again after so many seconds.
 * - `shut-down`: it is not needed; it retires with this reason.
 * - `refuse`: it has had its answer. Nothing is minted.
 */
export type ClaimDecision =
  | { readonly kind: "bind"; readonly job: Job; readonly binding: Binding; readonly earlier: boolean }
  | { readonly kind: "wait"; readonly afterSeconds: number; readonly because: string }
  | { readonly kind: "shut-down"; readonly because: string }
  | { readonly kind: "refuse"; readonly because: string };

const waitSeconds = 5;
const warmWaitSeconds = 15;

/** `counters`: sums over all fleets. They may be a little old: the commit checks the limit again. */
export function decideClaim(
  ledger: Ledger,
  machine: Machine,
  policy: Policy,
  counters: Readonly<Record<string, number>>,
): ClaimDecision {
  if (machine.state === "ended" || machine.state === "retiring") {
    return {
      kind: "refuse",
      because: `The machine is ${machine.state}: ${machine.detail ?? machine.reason}.`,
    };
  }
  if (machine.times.online !== undefined || machine.state === "busy") {
    return {
      kind: "refuse",
      because: "The machine's runner was already online: it has had its registration.",
    };
  }
  const others = { ...ledger, machines: ledger.machines.filter((entry) => entry.id !== machine.id) };
  const { unserved, unclaimed } = demandOf(others);
  const again = unserved.find((job) => job.id === machine.binding?.jobId);
  const job = again ?? neediest(unserved, others, machine, policy, counters);
  if (job !== undefined) {
    return { kind: "bind", job, binding: bindingOf(job, policy), earlier: machine.binding !== undefined };
  }
  if (unserved.length > 0) {
    return {
      kind: "wait",
      afterSeconds: waitSeconds,
      because: "Every waiting repository has all of its machines.",
    };
  }
  if (machine.binding === undefined && unclaimed.length < warmTargetOf(ledger, policy)) {
    return { kind: "wait", afterSeconds: warmWaitSeconds, because: "It is kept warm for the next job." };
  }
  return { kind: "shut-down", because: "No queued job needs it any more." };
}

/**
 * The oldest job of the repository that has the fewest machines of this fleet, so that a large matrix of one
 * repository does not make all others wait. Repositories at their cap are left out.
 */
function neediest(
  unserved: readonly Job[],
  ledger: Ledger,
  asking: Machine,
  policy: Policy,
  counters: Readonly<Record<string, number>>,
): Job | undefined {
  const own = asking.binding && repositoryCounter(asking.binding.repository);
  const served = new Map<string | undefined, number>();
  for (const { binding } of ledger.machines) {
    served.set(binding?.repository, (served.get(binding?.repository) ?? 0) + 1);
  }
  let best: Job | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const job of unserved) {
    const repository = fullName(job.repository);
    const machines = served.get(repository) ?? 0;
    if (machines >= fewest) continue;
    const counter = repositoryCounter(repository);
    // The place that the machine holds itself, from an earlier claim, is free for it.
    const occupied = (counters[counter] ?? 0) - (counter === own ? 1 : 0);
    if (occupied >= policy.limits.perRepository) continue;
    best = job;
    fewest = machines;
  }
  return best;
}

function bindingOf(job: Job, policy: Policy): Binding {
  return {
    jobId: job.id,
    repository: fullName(job.repository),
    scope: scopeOf(job, policy),
    labels: job.labels,
  };
}

/** The job's times once a machine has claimed it. What happened to the machine before is part of the job's wait. */
export function jobClaimedBy(job: Job, machine: Machine, now: Instant): Job {
  return {
    ...job,
    machineId: machine.id,
    times: {
      ...job.times,
      launched: job.times.launched ?? machine.times.requested,
      running: machine.times.launched ?? now,
      claimed: now,
    },
  };
}
