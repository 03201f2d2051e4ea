import type { Change, Instant, Job, JobState, Ledger, Machine, MachineState } from "./model.ts";
import { type JobStatus, jobStatus, type MachineStatus, machineStatus } from "./status.ts";

/** A job or a machine has another state than before. The entries are those of the status document. */
export type Announcement =
  | {
      readonly kind: "job";
      readonly at: Instant;
      /** Its state until now; null: it was not known. */
      readonly before: JobState | null;
      readonly job: JobStatus;
    }
  | {
      readonly kind: "machine";
      readonly at: Instant;
      readonly before: MachineState | null;
      readonly machine: MachineStatus;
    };

/** The states of a fleet's entries, by kind and id, as they were seen last. */
export type KnownStates = ReadonlyMap<string, JobState | MachineState>;

export function statesOf({ jobs, machines }: Pick<Ledger, "jobs" | "machines">): KnownStates {
  return new Map([
    ...jobs.map((job) => [keyOf("job", job), job.state] as const),
    ...machines.map((machine) => [keyOf("machine", machine), machine.state] as const),
  ]);
}

/** What these changes are for others to know: those that gave an entry another state. */
export function announcementsOf(
  changes: readonly Change[],
  known: KnownStates,
  at: Instant,
): readonly Announcement[] {
  return changes.flatMap((change): readonly Announcement[] => {
    if (change.put === "fleet") return [];
    if (change.put === "job") {
      const { job } = change;
      const before = (known.get(keyOf("job", job)) as JobState | undefined) ?? null;
      return before === job.state ? [] : [{ kind: "job", at, before, job: jobStatus(job, undefined, at) }];
    }
    const { machine } = change;
    const before = (known.get(keyOf("machine", machine)) as MachineState | undefined) ?? null;
    if (before === machine.state) return [];
    return [{ kind: "machine", at, before, machine: machineStatus(machine, at) }];
  });
}

function keyOf(kind: "job" | "machine", { id }: Job | Machine): string {
  return `${kind} ${id}`;
}
