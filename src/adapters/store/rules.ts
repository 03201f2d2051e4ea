import { type FleetUsage, hostedMinutes, machineCostUsd, machineSeconds } from "../../core/cost.ts";
import { type CounterLimit, countersOf } from "../../core/counters.ts";
import { MayflyError } from "../../core/errors.ts";
import {
  type Change,
  type FleetId,
  type FleetRecord,
  fullName,
  type Instant,
  type Job,
  type JobId,
  type Machine,
  type MachineId,
  type Repository,
} from "../../core/model.ts";
import { isSettled } from "../../core/rerun.ts";
import type { SeenRepository } from "../../ports/store.ts";

// What the stores have to decide in the same way, whatever they keep their entries in.

/** The changes of one commit, by entry. The last one counts where an entry is put twice. */
export interface Writes {
  readonly record: FleetRecord | undefined;
  readonly jobs: ReadonlyMap<JobId, Job>;
  readonly machines: ReadonlyMap<MachineId, Machine>;
}

/** Throws a `MayflyError` when the changes are too many, or are not about this fleet: the caller has a bug. */
export function collectWrites(fleet: FleetId, changes: readonly Change[], changesPerCommit: number): Writes {
  if (changes.length > changesPerCommit) throw tooManyChanges(fleet, changes.length, changesPerCommit);
  let record: FleetRecord | undefined;
  const jobs = new Map<JobId, Job>();
  const machines = new Map<MachineId, Machine>();
  for (const change of changes) {
    if (change.put === "fleet") {
      checkFleet(fleet, change.record.id, "its record");
      record = change.record;
    } else if (change.put === "job") {
      checkFleet(fleet, change.job.fleet, `job ${change.job.id}`);
      jobs.set(change.job.id, change.job);
    } else {
      checkFleet(fleet, change.machine.fleet, `machine ${change.machine.id}`);
      machines.set(change.machine.id, change.machine);
    }
  }
  return { record, jobs, machines };
}

/** Throws a `MayflyError` when an entry names another fleet than the one that it is written to. */
export function checkFleet(fleet: FleetId, named: FleetId, what: string): void {
  if (fleet === named) return;
  throw new MayflyError({
    kind: "operator",
    code: "STORE_WRONG_FLEET",
    message: `A commit to fleet ${fleet} puts ${what} of fleet ${named}`,
    suggestion: "This is a bug in Mayfly: please report it with this message.",
  });
}

function tooManyChanges(fleet: FleetId, count: number, limit: number): MayflyError {
  return new MayflyError({
    kind: "operator",
    code: "STORE_COMMIT_TOO_LARGE",
    message: `A commit to fleet ${fleet} has ${count} changes, and the store takes ${limit} at once`,
    suggestion: "This is a bug in Mayfly: please report it with this message.",
  });
}

/**
 * When the job went to the history; undefined while it is active. A job without a time of completion ended at
 * the last thing that is known of it.
 */
export function jobEndedAt(job: Job): Instant | undefined {
  if (!isSettled(job)) return undefined;
  return job.times.completed ?? latest(job.times);
}

/** When the machine went to the history; undefined while it is active. */
export function machineEndedAt(machine: Machine): Instant | undefined {
  if (machine.state !== "ended") return undefined;
  return machine.times.ended ?? latest(machine.times);
}

/** What ended entries have used since an instant. */
export function usageOf(
  jobs: readonly Job[],
  machines: readonly Machine[],
  since: Instant,
): readonly FleetUsage[] {
  const sums = new Map<FleetId, Sum>();
  for (const job of jobs) {
    const { started } = job.times;
    if (started === undefined) continue;
    sumOf(sums, job.fleet).hostedMinutes += hostedMinutes(((jobEndedAt(job) ?? 0) - started) / 1000);
  }
  for (const machine of machines) {
    if (machine.times.launched === undefined) continue;
    const end = machineEndedAt(machine) ?? 0;
    const sum = sumOf(sums, machine.fleet);
    sum.machineSeconds += machineSeconds(machine, since, end);
    sum.costUsd += machineCostUsd(machine, since, end);
  }
  return inOrderOfFleets(sums);
}

/** One entry for each fleet, in the order of the fleets. */
export function sumByFleet(usages: readonly FleetUsage[]): readonly FleetUsage[] {
  const sums = new Map<FleetId, Sum>();
  for (const usage of usages) {
    const sum = sumOf(sums, usage.fleet);
    sum.hostedMinutes += usage.hostedMinutes;
    sum.machineSeconds += usage.machineSeconds;
    sum.costUsd += usage.costUsd;
  }
  return inOrderOfFleets(sums);
}

type Sum = { -readonly [Key in keyof FleetUsage]: FleetUsage[Key] };

function sumOf(sums: Map<FleetId, Sum>, fleet: FleetId): Sum {
  const known = sums.get(fleet);
  if (known !== undefined) return known;
  const sum = { fleet, hostedMinutes: 0, machineSeconds: 0, costUsd: 0 };
  sums.set(fleet, sum);
  return sum;
}

function inOrderOfFleets(sums: ReadonlyMap<FleetId, Sum>): readonly FleetUsage[] {
  return [...sums.values()].sort((left, right) => inOrder(left.fleet, right.fleet));
}

function latest(times: object): Instant {
  return Math.max(...Object.values(times));
}

/** By how much the counters change when these machines replace what `activeBefore` finds. Without zeros. */
export function counterChanges(
  machines: ReadonlyMap<MachineId, Machine>,
  activeBefore: (id: MachineId) => Machine | undefined,
): ReadonlyMap<string, number> {
  const changes = new Map<string, number>();
  const add = (machine: Machine, step: number): void => {
    for (const counter of countersOf(machine)) {
      const sum = (changes.get(counter) ?? 0) + step;
      if (sum === 0) changes.delete(counter);
      else changes.set(counter, sum);
    }
  };
  for (const machine of machines.values()) {
    const before = activeBefore(machine.id);
    if (before !== undefined) add(before, -1);
    add(machine, 1);
  }
  return changes;
}

/** The first of the limits that the changes would pass. Counters that are not raised are not looked at. */
export function passedLimit(
  limits: readonly CounterLimit[],
  changes: ReadonlyMap<string, number>,
  currentValue: (counter: string) => number,
): string | undefined {
  const passed = limits.find(({ counter, max }) => {
    const change = changes.get(counter) ?? 0;
    return change > 0 && currentValue(counter) + change > max;
  });
  return passed?.counter;
}

/** GitHub compares names without case. */
export function repositoryKey(repository: Repository): string {
  return fullName(repository).toLowerCase();
}

/** What a job says of its repository. It replaces what is known, unless that is newer. */
export function seenRepository(job: Job): SeenRepository {
  const { owner, name, private: isPrivate } = job.repository;
  return {
    owner,
    name,
    private: isPrivate,
    installationId: job.installationId,
    lastSeenAt: job.times.received,
  };
}

/** By code units: the same order on every machine, whatever its language. */
export function inOrder(left: string | number, right: string | number): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
