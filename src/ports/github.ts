import type { Instant, JobEvent, JobId, Scope } from "../core/model.ts";
import type { Secret } from "../core/secret.ts";

/**
 * What Mayfly asks of GitHub. One adapter speaks REST as a GitHub App; one stands on the model in memory.
 *
 * Contract, for every adapter:
 * - Requests are spent by priority: `mintRunner`, then `findRunner` and `deleteRunner` (the fence), then all
 *   others (the sweep). A request that the budget or a `Retry-After` forbids is a `MayflyError` of kind `wait`
 *   with `retryAt`; the adapter never sleeps inside a call.
 * - GitHub unreachable, 5xx or a broken answer: kind `retry`. For a request that changes something, whether it
 *   happened is then unknown.
 * - App suspended or uninstalled, permission missing, repository or organisation gone: kind `operator`, with the
 *   sentence that GitHub gave and what to change.
 * - Names of owners and repositories are used as given.
 */
export interface Github {
  /**
   * Registers a runner that will take one job and returns its JIT config, which is a secret.
   * `name-taken`: a runner of that name is registered in the scope (409).
   * `refused`: GitHub said no for a reason that time alone will not change (403, 404, 422). A full runner group is an
   * error of kind `operator`, as a suspended installation is.
   */
  mintRunner(request: MintRequest): Promise<MintResult>;

  /** The runner of exactly this name in the scope. */
  findRunner(scope: Scope, name: string): Promise<Runner | undefined>;

  /**
   * The fence. `deleted` or `absent`: no runner of that id exists any more, so no job can be running on it.
   * `running-a-job`: GitHub refused (422), nothing was changed.
   */
  deleteRunner(scope: Scope, runnerId: number): Promise<"deleted" | "absent" | "running-a-job">;

  /** All runners of a scope. `busy: false` may be wrong: only `deleteRunner` is proof. */
  listRunners(scope: Scope): Promise<readonly Runner[]>;

  /** What GitHub says of one job now, as the event that would have told us. Absent: there is no such job. */
  getJob(repository: RepositoryAddress, id: JobId): Promise<JobEvent | undefined>;

  /**
   * Jobs of the repository that have not ended: waiting, queued and in progress. Bounded: at most 1,000 runs are looked
   * at, the newest first.
   */
  listOpenJobs(repository: RepositoryAddress): Promise<readonly JobEvent[]>;

  /** Where a run stands. Absent: there is no such run. */
  getRun(repository: RepositoryAddress, runId: number): Promise<RunState | undefined>;

  /**
   * The jobs of a run in any state, each with its newest attempt: those that were not run again when others were are
   * the ones of before. At most 3,000.
   */
  listRunJobs(repository: RepositoryAddress, runId: number): Promise<readonly JobEvent[]>;

  /**
   * Starts a part of a run again, as its next attempt, in which these jobs have new ids and the same names: one job, or
   * all that failed or were cancelled; with them the jobs that need these.
   * `still-running`: the run, or an attempt that somebody else began, goes on; ask again when it has ended.
   * `refused`: GitHub said no for a reason that time alone will not change: its sentence. The App may not write
   * actions, the run is older than 30 days or was started again 50 times.
   */
  rerun(repository: RepositoryAddress, runId: number, which: "failed-jobs" | JobId): Promise<RerunResult>;

  /**
   * Every repository of every installation of the App, at most 1,000 of each. `complete`: there are no others, so
   * what is not found in any of them is nowhere. A suspended installation makes the list incomplete.
   */
  listRepositories(): Promise<{
    readonly repositories: readonly RepositoryAddress[];
    readonly complete: boolean;
  }>;

  /** Deliveries of the App's webhook since `since`, newest first. */
  listDeliveries(since: Instant): Promise<readonly Delivery[]>;
  /** Asks GitHub to send this delivery again. */
  redeliver(deliveryId: number): Promise<void>;

  /** Says on the commit that a job was given up, and why. `not-permitted`: the App may not write checks. */
  reportGivenUp(report: GivenUpReport): Promise<"reported" | "not-permitted">;

  /** How much of the hourly budget is left, per installation; from the last answers, without a request. */
  budgets(): readonly RequestBudget[];
}

export interface RepositoryAddress {
  readonly owner: string;
  readonly name: string;
  readonly private: boolean;
  readonly installationId: number;
}

export interface MintRequest {
  readonly scope: Scope;
  readonly name: string;
  readonly labels: readonly string[];
  /** Name of the runner group; `default` for the default one. Repository scopes have only that. */
  readonly runnerGroup: string;
}

export type MintResult =
  | { readonly kind: "minted"; readonly runnerId: number; readonly jitConfig: Secret }
  | { readonly kind: "name-taken" }
  | { readonly kind: "refused"; readonly status: number; readonly message: string };

export interface RunState {
  /** 1 for the first. */
  readonly attempt: number;
  readonly ended: boolean;
  /** GitHub's word for how it ended. */
  readonly conclusion?: string;
}

export type RerunResult =
  | { readonly kind: "started" }
  | { readonly kind: "still-running" }
  | { readonly kind: "refused"; readonly message: string };

export interface Runner {
  readonly id: number;
  readonly name: string;
  readonly online: boolean;
  readonly busy: boolean;
}

export interface Delivery {
  readonly id: number;
  /** The same for every attempt at one delivery. */
  readonly guid: string;
  readonly deliveredAt: Instant;
  readonly succeeded: boolean;
  readonly event: string;
}

export interface GivenUpReport {
  readonly repository: RepositoryAddress;
  readonly jobId: JobId;
  readonly jobName: string;
  readonly runId: number;
  readonly because: string;
  readonly detail: string;
}

export interface RequestBudget {
  readonly installationId: number;
  readonly limit: number;
  readonly remaining: number;
  readonly resetAt: Instant;
}
