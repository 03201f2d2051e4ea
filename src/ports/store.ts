import type { FleetUsage } from "../core/cost.ts";
import type { CounterLimit } from "../core/counters.ts";
import type { Image } from "../core/image.ts";
import type {
  Change,
  FleetId,
  FleetRecord,
  Instant,
  Job,
  JobId,
  Ledger,
  Machine,
  MachineId,
} from "../core/model.ts";

/**
 * The ledger's home. One version number per fleet; whoever commits must have seen the newest version.
 *
 * Contract, for every adapter:
 * - **Durable**: what a resolved promise says was written survives the death of the process and of the machine.
 * - **Consistent**: `load`, `findJob`, `findMachine` and `counters` see every write whose promise had resolved before
 *   they were called, whoever made it. The others may lag behind by a second.
 * - **Atomic**: a commit is seen whole or not at all.
 * - **Active and history**: a job that is settled (`core/rerun.ts`) and a machine whose state is `ended` move to the
 *   history with the commit that says so. `load` no longer returns them; `findJob` and `findMachine` do, until `purge`.
 * - **Errors**: a busy or unreachable database is a `MayflyError` of kind `retry`; a damaged or full one is of
 *   kind `operator`. A rejected write may or may not have happened: load again to know.
 */
export interface Store {
  /** The largest number of changes that one `commit` takes. */
  readonly changesPerCommit: number;

  /** All active entries of a fleet. A fleet that was never written: version 0, no record, nothing in it. */
  load(fleet: FleetId): Promise<Ledger>;

  /**
   * Writes the changes if nobody else has committed since `version` was loaded. Entries are replaced whole.
   * - `committed`: all written, the fleet's version is `version + 1`.
   * - `conflict`: nothing was written. Load and plan again. Also when a job or machine that is put exists in
   *   another fleet.
   * - `over-limit`: nothing was written, because a counter (see `core/counters.ts`) that these changes raise
   *   would have passed its limit. Counters that they do not raise are not checked.
   */
  commit(
    fleet: FleetId,
    version: number,
    changes: readonly Change[],
    limits?: readonly CounterLimit[],
  ): Promise<CommitResult>;

  /**
   * Adds a job that is not known yet, and its fleet's record if the fleet has none. Does not change the version:
   * a plan that was made without this job stays valid, and the poke that follows makes the next one.
   * `exists`: a job with this id is known, active or in the history, in any fleet; nothing was written.
   */
  addJob(record: FleetRecord, job: Job): Promise<"added" | "exists">;

  findJob(id: JobId): Promise<Job | undefined>;
  findMachine(id: MachineId): Promise<Machine | undefined>;
  /** By the provider's name for it. A provider id is unique within one compute adapter. */
  findMachineByProviderId(compute: string, providerId: string): Promise<Machine | undefined>;

  /** Fleets that have at least one active job or machine, in a stable order. */
  activeFleets(): Promise<readonly FleetId[]>;

  /** Every image that a record was written of (`FleetRecord.image`), in the order of its fleet's id. Cheap: there are few. */
  images(): Promise<readonly Image[]>;

  /** Current sums of all counters that are not zero. */
  counters(): Promise<Readonly<Record<string, number>>>;

  /**
   * Jobs completed or given up, and machines ended, at or after `since` and before `before`, which is never unless it
   * is given; newest first, `limit` of each at most.
   */
  history(since: Instant, limit: number, before?: Instant): Promise<History>;

  /**
   * What the jobs that were completed and the machines that ended at or after `since` have used, by fleet. Cheap, also
   * when they are ten thousands: every look at a fleet asks for it where there is a daily budget. `since` is a
   * midnight (UTC) for which nothing was purged yet.
   */
  usage(since: Instant): Promise<readonly FleetUsage[]>;

  /**
   * Repositories of which a job was received at or after `since`, most recent first; also some that were seen last a
   * few minutes before, where their time is not written with every job.
   */
  recentRepositories(since: Instant): Promise<readonly SeenRepository[]>;

  /** Deletes history that ended before `before`. Returns how many entries are gone. */
  purge(before: Instant): Promise<number>;
}

export type CommitResult =
  | { readonly kind: "committed" }
  | { readonly kind: "conflict" }
  | { readonly kind: "over-limit"; readonly counter: string };

export interface History {
  readonly jobs: readonly Job[];
  readonly machines: readonly Machine[];
}

export interface SeenRepository {
  readonly owner: string;
  readonly name: string;
  readonly private: boolean;
  readonly installationId: number;
  readonly lastSeenAt: Instant;
}
