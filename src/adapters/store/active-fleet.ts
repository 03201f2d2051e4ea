import type { FleetId, FleetRecord, Job, JobId, Ledger, Machine, MachineId } from "../../core/model.ts";
import { isSettled } from "../../core/rerun.ts";
import type { Writes } from "./rules.ts";

/** The active entries of one fleet in memory. */
export interface ActiveFleet {
  readonly id: FleetId;
  version: number;
  record: FleetRecord | undefined;
  readonly jobs: Map<JobId, Job>;
  readonly machines: Map<MachineId, Machine>;
  /** What `ledgerOf` gave last, while it is still true. */
  ledger: Ledger | undefined;
}

export function createActiveFleet(id: FleetId): ActiveFleet {
  return { id, version: 0, record: undefined, jobs: new Map(), machines: new Map(), ledger: undefined };
}

/** The ledger as it is now. Later changes do not touch it, and repeating the call without any costs nothing. */
export function ledgerOf(fleet: ActiveFleet): Ledger {
  fleet.ledger ??= {
    fleet: fleet.id,
    version: fleet.version,
    record: fleet.record,
    jobs: [...fleet.jobs.values()],
    machines: [...fleet.machines.values()],
  };
  return fleet.ledger;
}

/** Makes the changes of a commit. The version is the next one afterwards. */
export function applyWrites(fleet: ActiveFleet, writes: Writes): void {
  fleet.version += 1;
  fleet.record = writes.record ?? fleet.record;
  for (const job of writes.jobs.values()) putJob(fleet, job);
  for (const machine of writes.machines.values()) {
    if (machine.state === "ended") fleet.machines.delete(machine.id);
    else fleet.machines.set(machine.id, machine);
  }
  fleet.ledger = undefined;
}

/** Makes the changes of an added job. The version stays. */
export function applyJob(fleet: ActiveFleet, record: FleetRecord, job: Job): void {
  fleet.record ??= record;
  putJob(fleet, job);
  fleet.ledger = undefined;
}

export function isEmpty(fleet: ActiveFleet): boolean {
  return fleet.jobs.size === 0 && fleet.machines.size === 0;
}

function putJob(fleet: ActiveFleet, job: Job): void {
  if (isSettled(job)) fleet.jobs.delete(job.id);
  else fleet.jobs.set(job.id, job);
}
